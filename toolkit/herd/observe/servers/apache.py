"""Apache httpd, whose processes share one socket: ``event`` has a listener thread in each."""

from __future__ import annotations

from typing import Final

from herd.observe.servers._base import Place, Server

_CONFIG: Final = """
LoadModule mpm_{mpm}_module {modules}/mod_mpm_{mpm}.so
LoadModule alias_module {modules}/mod_alias.so
ServerRoot {folder}
DefaultRuntimeDir {folder}
ServerName localhost
PidFile {folder}/pid
Listen 127.0.0.1:{port}
User www-data
Group www-data
StartServers {workers}
ServerLimit {workers}
{limits}
KeepAlive Off
ErrorLog {folder}/log
LogFormat "served %P" pid
CustomLog {folder}/log pid
Redirect 204 /
"""
_LIMITS: Final = {
    # As many spare threads as there are, or idle processes would be ended.
    "event": "ThreadsPerChild 4\nThreadLimit 4\nMaxRequestWorkers {threads}\n"
    "MinSpareThreads {threads}\nMaxSpareThreads {threads}",
    "prefork": "MaxRequestWorkers {workers}\nMinSpareServers {workers}\nMaxSpareServers {workers}",
}


class Apache(Server):
    """One of its multi-processing modules."""

    program = "apache2"
    package = "apache2-bin"
    modules = "/usr/lib/apache2/modules"

    def __init__(self, mpm: str) -> None:
        super().__init__(f"apache-{mpm}")
        self._mpm = mpm

    def command(self, place: Place) -> list[str]:
        """It answers 204 to all, without a file."""
        limits = _LIMITS[self._mpm].format(workers=place.workers, threads=4 * place.workers)
        text = _CONFIG.format(
            folder=place.folder,
            port=place.port,
            workers=place.workers,
            mpm=self._mpm,
            modules=self.modules,
            limits=limits,
        )
        return [self.path(), "-f", place.write("apache.conf", text), "-D", "FOREGROUND"]


SERVERS = (Apache("event"), Apache("prefork"))
