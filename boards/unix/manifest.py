include("$(MPY_DIR)/extmod/asyncio")
package("fieldtune", base_path="../../device")
module("rawrepl.py")
