//! Every parser of what a device, a target or a disk says, for whoever makes up bytes.

use crate::{Beat, device, disk, pill, scsi, table};

/// Gives bytes to each parser as if a device had answered them.
///
/// # Panics
///
/// If one misleads: gives more keys than the bytes can hold, a holder without a key, a name without bytes.
pub fn answer(bytes: &[u8]) {
    if let Ok(Some((_, keys))) = scsi::parse_keys(bytes) {
        assert!(keys.len() * 8 <= bytes.len() && keys.is_sorted());
    }
    if let Ok((_, Some((_, kind)))) = scsi::parse_reservation(bytes) {
        assert!(bytes.len() > 21 && kind.spc_code() == bytes[21] & 0x0f);
    }
    if let Ok(Some(nexus)) = scsi::parse_full_status(bytes) {
        assert!(nexus.len() * 24 <= bytes.len());
        assert!(nexus.iter().all(|one| !one.initiator.contains(char::is_control)));
    }
    if let Ok((size, block)) = scsi::parse_read_capacity(bytes) {
        assert!(block >= 512 && size.is_multiple_of(block.into()));
    }
    if let Ok(Some(name)) = scsi::parse_identity(bytes) {
        assert!(name.len() <= 6 * bytes.len());
    }
    let _ = (
        scsi::parse_report_capabilities(bytes),
        scsi::parse_inquiry(bytes),
        scsi::Sense::parse(bytes),
    );
    device::hostile(bytes);
    disk::hostile(bytes);
    pill::hostile(bytes);
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(table) = table::Table::decode(text)
    {
        assert_eq!(table::Table::decode(&table.encode()), Ok(table));
    }
    if let Some(block) = bytes.first_chunk()
        && let Ok(Some(beat)) = Beat::decode(block)
    {
        assert_eq!(Beat::decode(&beat.encode()).ok().flatten(), Some(beat));
    }
}
