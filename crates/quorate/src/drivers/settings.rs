//! From a configuration's text to a driver's typed settings.

use serde::de::DeserializeOwned;

use super::{Driver, ProcessDriver, ProcessSettings, QemuDriver, QemuSettings, Reporter};

/// The settings of one resource, by driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DriverSettings {
    /// Any command.
    Process(ProcessSettings),
    /// A QEMU guest.
    Qemu(QemuSettings),
}

impl DriverSettings {
    /// Reads and checks the settings of driver `kind` (`process` or `qemu`). A TOML table serves as
    /// well: [`DriverSettings::from_toml`].
    ///
    /// # Errors
    /// An unknown driver, an unknown or missing key, a value of the wrong form or outside its
    /// bounds; the text names the key and the remedy.
    pub fn from_json(kind: &str, value: serde_json::Value) -> Result<Self, SettingsError> {
        Self::read(kind, value)
    }

    /// As [`DriverSettings::from_json`], from a TOML table.
    ///
    /// # Errors
    /// As [`DriverSettings::from_json`].
    pub fn from_toml(kind: &str, value: toml::Value) -> Result<Self, SettingsError> {
        Self::read(kind, value)
    }

    /// The driver's name.
    pub fn kind(&self) -> &'static str {
        match self {
            DriverSettings::Process(_) => "process",
            DriverSettings::Qemu(_) => "qemu",
        }
    }

    /// A driver with these settings, that reports through `reporter`. It starts nothing yet.
    pub fn into_driver(self, reporter: Reporter) -> Box<dyn Driver> {
        match self {
            DriverSettings::Process(settings) => Box::new(ProcessDriver::new(settings, reporter)),
            DriverSettings::Qemu(settings) => Box::new(QemuDriver::new(settings, reporter)),
        }
    }

    fn read<'de, D>(kind: &str, value: D) -> Result<Self, SettingsError>
    where
        D: serde::Deserializer<'de>,
        D::Error: std::fmt::Display,
    {
        match kind {
            "process" => {
                let settings: ProcessSettings = typed("process", value)?;
                settings.check().map_err(|reason| refused("process", reason))?;
                Ok(DriverSettings::Process(settings))
            }
            "qemu" => {
                let settings: QemuSettings = typed("qemu", value)?;
                settings.check().map_err(|reason| refused("qemu", reason))?;
                Ok(DriverSettings::Qemu(settings))
            }
            other => Err(SettingsError::UnknownDriver { name: other.to_owned() }),
        }
    }
}

fn typed<'de, T, D>(driver: &'static str, value: D) -> Result<T, SettingsError>
where
    T: DeserializeOwned,
    D: serde::Deserializer<'de>,
    D::Error: std::fmt::Display,
{
    T::deserialize(value).map_err(|error| refused(driver, error.to_string().trim().to_owned()))
}

fn refused(driver: &'static str, reason: String) -> SettingsError {
    SettingsError::Refused { driver, reason }
}

/// Why settings were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// There is no driver of that name.
    #[error("driver {name:?} is not known; there are process and qemu")]
    UnknownDriver {
        /// The name.
        name: String,
    },
    /// A setting of the driver is unknown, missing or wrong.
    #[error("driver {driver}: {reason}")]
    Refused {
        /// The driver.
        driver: &'static str,
        /// Which setting, why, and what would be right.
        reason: String,
    },
}
