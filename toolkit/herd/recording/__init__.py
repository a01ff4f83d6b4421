"""What a run leaves behind: ``run.json`` and Parquet tables, the same from every producer."""
