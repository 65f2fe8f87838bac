"""The name of the target that is measured, without what measures it (`segport.fastest`)."""

AUTO = "auto"
AUTO_HELP = "the one whose file is fastest here, of this machine's and openvino"
