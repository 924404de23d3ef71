freeze("$(PORT_DIR)/modules")
include("$(MPY_DIR)/extmod/asyncio")
package("fieldtune", base_path="../../device")
