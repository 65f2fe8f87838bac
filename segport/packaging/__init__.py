"""What the device team receives: files, how to run them, and how to see that they are whole.

`packaging` makes a package and `verification` verifies one; every other file is one thing that a
package contains, or one way to lay it out. `inside` has the scripts that go along. Nothing here
exports, quantizes or judges: that is done when a package is made.
"""

import export  # noqa: F401  # switches the telemetry of onnxruntime off before it is imported here
