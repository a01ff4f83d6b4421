"""The same run on another kernel: fetch it, boot it in a virtual machine, bring the recording back."""
