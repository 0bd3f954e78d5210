//! Which cloud the firmware names, as sysfs shows its tables (DMI). It asks nobody.

use std::io::Read as _;
use std::path::Path;

use super::Cloud;

/// Longest text of a table that is read, in bytes.
const TEXT_MAX: u64 = 256;

/// `chassis_asset_tag` of every virtual machine of Azure. Hyper-V elsewhere has the same vendor.
const AZURE_TAG: &str = "7783-7084-3265-9085-8269-3286-77";

/// The cloud that the host is in. `sys` is where sysfs is mounted.
pub fn cloud(sys: &Path) -> Option<Cloud> {
    let told = |name: &str| text(&sys.join("class/dmi/id").join(name));
    if told("sys_vendor").contains("Amazon EC2") || told("bios_version").contains("amazon") {
        Some(Cloud::Aws)
    } else if told("product_name") == "Google Compute Engine" {
        Some(Cloud::Gcp)
    } else if told("chassis_asset_tag") == AZURE_TAG {
        Some(Cloud::Azure)
    } else {
        None
    }
}

/// Empty if it can't be read.
fn text(path: &Path) -> String {
    let mut text = String::new();
    let read = std::fs::File::open(path).map(|file| file.take(TEXT_MAX).read_to_string(&mut text));
    if !matches!(read, Ok(Ok(_))) {
        text.clear();
    }
    text.trim().to_owned()
}
