//! One command, told as it is; see `testing::RawCommand`.

use super::super::worker::ATTENTIONS_MAX;
use super::{Class, Command, Effect, Failure, IscsiLun, LunError, Transfer, scsi};
use crate::testing::{RawCommand, RawFailure};

impl IscsiLun {
    /// Gives the device one command and returns the bytes that it answers. Nothing is sent twice.
    ///
    /// # Errors
    ///
    /// What the device answers when it does not carry the command out.
    pub fn tell(&self, command: RawCommand) -> Result<Vec<u8>, RawFailure> {
        let block_bytes = self.capabilities.block_bytes;
        let command = match command {
            RawCommand::ReserveOut { action, kind, key, action_key } => {
                let mut cdb = scsi::reserve_out(scsi::ReserveOut::Register);
                cdb.bytes[1] = action;
                cdb.bytes[2] = kind;
                let list = scsi::reserve_out_parameters(key, action_key, false);
                Command::Scsi(cdb, Transfer::Out(list))
            }
            RawCommand::Read { block } => {
                let buffer = vec![0; block_bytes as usize];
                Command::Scsi(scsi::read(block, 1), Transfer::In(buffer))
            }
            RawCommand::Write { block, data } => {
                let blocks = data.len() as u32 / block_bytes;
                Command::Scsi(scsi::write(block, blocks), Transfer::Out(data))
            }
        };
        // Of the class that is never sent twice, and without patience for unit attentions.
        let (class, effect) = (Class::Reserve, Effect::None);
        match self.call_after("a raw command", command, class, effect, ATTENTIONS_MAX) {
            Ok(Command::Scsi(_, Transfer::In(answer))) => Ok(answer),
            Ok(Command::Scsi(_, Transfer::None | Transfer::Out(_)) | Command::Reset) => {
                Ok(Vec::new())
            }
            Err(Failure::Check(sense)) => {
                Err(RawFailure::Check { key: sense.key, code: sense.code })
            }
            Err(Failure::Aborted) => Err(RawFailure::Aborted),
            Err(Failure::Error(LunError::ReservationConflict)) => Err(RawFailure::Conflict),
            Err(Failure::Error(error)) => Err(RawFailure::Other(error)),
        }
    }
}
