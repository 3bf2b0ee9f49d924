//! What stands in for the driver where libiscsi was not there at build time.

use std::convert::Infallible;
use std::sync::Arc;

use super::IscsiOptions;
use crate::{Capabilities, EventQueue, Lun, LunError, ReservationKey, Reservations};

/// A LUN behind iSCSI. This build has no libiscsi, so there never is one.
#[derive(Debug)]
pub struct IscsiLun(Infallible);

impl IscsiLun {
    /// Refuses, and says what to install.
    ///
    /// # Errors
    ///
    /// `Unsupported`, always.
    pub fn open(_: IscsiOptions) -> Result<Self, LunError> {
        let what = "built without libiscsi; apt-get install libiscsi-dev and rebuild".to_owned();
        Err(LunError::Unsupported { what })
    }

    /// One command as it is; here there is nobody to tell.
    ///
    /// # Errors
    ///
    /// None: there never is such a LUN.
    #[cfg(feature = "testing")]
    pub fn tell(
        &self,
        _: crate::testing::RawCommand,
    ) -> Result<Vec<u8>, crate::testing::RawFailure> {
        match self.0 {}
    }
}

impl Lun for IscsiLun {
    fn capabilities(&self) -> Capabilities {
        match self.0 {}
    }
    fn register(&self, _: ReservationKey) -> Result<(), LunError> {
        match self.0 {}
    }
    fn unregister(&self) -> Result<(), LunError> {
        match self.0 {}
    }
    fn read_keys(&self) -> Result<Reservations, LunError> {
        match self.0 {}
    }
    fn reserve(&self, _: ReservationKey) -> Result<(), LunError> {
        match self.0 {}
    }
    fn release(&self, _: ReservationKey) -> Result<(), LunError> {
        match self.0 {}
    }
    fn preempt(&self, _: ReservationKey, _: ReservationKey) -> Result<(), LunError> {
        match self.0 {}
    }
    fn preempt_and_abort(&self, _: ReservationKey, _: ReservationKey) -> Result<(), LunError> {
        match self.0 {}
    }
    fn clear(&self, _: ReservationKey) -> Result<(), LunError> {
        match self.0 {}
    }
    fn read_at(&self, _: u64, _: &mut [u8]) -> Result<(), LunError> {
        match self.0 {}
    }
    fn write_at(&self, _: u64, _: &[u8]) -> Result<(), LunError> {
        match self.0 {}
    }
    fn flush(&self) -> Result<(), LunError> {
        match self.0 {}
    }
    fn events(&self) -> Arc<EventQueue> {
        match self.0 {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_without_libiscsi_names_the_remedy() {
        let options = IscsiOptions {
            url: String::new(),
            initiator: String::new(),
            nexus: String::new(),
            timeout: std::time::Duration::from_secs(1),
        };
        let error = IscsiLun::open(options).unwrap_err().to_string();
        assert!(error.contains("apt-get install libiscsi-dev"), "{error}");
    }
}
