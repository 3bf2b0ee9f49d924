//! A reset that is still to be done, or a wait. Owns the memory of it.

use parking_lot::Mutex;

use crate::LunError;

/// Whether commands of a preempted node may still be under way in the device, because the reset that ends them has not
/// succeeded yet, or the time that they may take is not over. Until it has, the LUN is nobody's to take.
#[derive(Debug, Default)]
pub(crate) struct Owed(Mutex<bool>);

impl Owed {
    pub(crate) fn owe(&self) {
        *self.0.lock() = true;
    }

    /// Pays what is owed, if anything is.
    pub(crate) fn pay(&self, reset: impl FnOnce() -> Result<(), LunError>) -> Result<(), LunError> {
        let mut is_owed = self.0.lock();
        if *is_owed {
            reset()?;
            *is_owed = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_that_failed_is_owed_until_one_succeeds() {
        let owed = Owed::default();
        owed.pay(|| panic!("nothing is owed")).unwrap();
        owed.owe();
        for _ in 0..2 {
            owed.pay(|| Err(LunError::ReservationConflict)).unwrap_err();
        }
        owed.pay(|| Ok(())).unwrap();
        owed.pay(|| panic!("it is paid")).unwrap();
    }
}
