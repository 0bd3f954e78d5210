//! Who is asked about the machine and its containers. It finds nobody.

use super::names::Setting;
use super::settings::Settings;
use super::{ConfigError, Part, fixed};

/// Who may be asked. Each is, unless it is turned off, and only where it shows that it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SurroundingsConfig {
    /// The metadata service of the cloud that the host's firmware names.
    pub cloud_metadata: bool,
    /// Container engines whose sockets are in their usual places.
    pub container_engines: bool,
}

/// Both are asked as the run starts.
impl Part for SurroundingsConfig {
    fn follow(&self, new: &Self) -> (Self, Vec<Setting>) {
        let differs = [
            (
                self.cloud_metadata != new.cloud_metadata,
                Setting::CloudMetadata,
            ),
            (
                self.container_engines != new.container_engines,
                Setting::ContainerEngines,
            ),
        ];
        (*self, fixed(differs))
    }
}

pub(super) fn read(settings: &Settings) -> Result<SurroundingsConfig, ConfigError> {
    let is_on = |setting| Ok(settings.boolean(setting)?.unwrap_or(true));
    Ok(SurroundingsConfig {
        cloud_metadata: is_on(Setting::CloudMetadata)?,
        container_engines: is_on(Setting::ContainerEngines)?,
    })
}
