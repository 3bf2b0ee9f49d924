//! NBD as bytes: numbers, the handshake, one request. Knows streams, no LUN and no threads.
//!
//! Source: NetworkBlockDevice/nbd doc/proto.md, "fixed newstyle negotiation" and "transmission",
//! simple replies.

use std::io::{self, Read, Write};

const MAGIC: u64 = 0x4e42_444d_4147_4943;
const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
const REQUEST_MAGIC: u32 = 0x2560_9513;
const REPLY_MAGIC: u32 = 0x6744_6698;

const FIXED_NEWSTYLE: u16 = 1;
const NO_ZEROES: u16 = 2;

/// Has flags, flush, FUA. Not trim and not write-zeroes: a `Lun` has neither, because a device may
/// let a stranger's discard pass (`Capabilities::discard_safe`).
const TRANSMISSION_FLAGS: u16 = 1 | 4 | 8;
pub(super) const COMMAND_FUA: u16 = 1;

/// Longest read or write of one request in bytes.
pub(super) const PAYLOAD_MAX: u32 = 32 << 20;
/// Longest data of one option; a longer one is not from a sound client.
const OPTION_MAX: u32 = 8192;
/// Options before a client must have made up its mind.
const OPTIONS_MAX: u32 = 64;

pub(super) const EPERM: u32 = 1;
pub(super) const EIO: u32 = 5;
pub(super) const EINVAL: u32 = 22;
pub(super) const ENOSPC: u32 = 28;

/// What a client is told about the disk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Export {
    pub(super) length: u64,
    pub(super) block_bytes: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Read,
    Write,
    Disconnect,
    Flush,
    /// Something that was not offered.
    Other,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) flags: u16,
    pub(super) operation: Operation,
    pub(super) cookie: u64,
    pub(super) offset: u64,
    pub(super) length: u32,
}

/// Shakes hands. `Ok(true)`: the transmission phase has begun; `Ok(false)`: the client took its
/// leave.
pub(super) fn negotiate(stream: &mut (impl Read + Write), export: Export) -> io::Result<bool> {
    let mut hello = Vec::with_capacity(18);
    hello.extend(MAGIC.to_be_bytes());
    hello.extend(OPTION_MAGIC.to_be_bytes());
    hello.extend((FIXED_NEWSTYLE | NO_ZEROES).to_be_bytes());
    stream.write_all(&hello)?;
    let client = u32::from_be_bytes(take(stream)?);
    if client & u32::from(FIXED_NEWSTYLE) == 0 {
        return Err(invalid("the client does not speak fixed newstyle NBD"));
    }
    let pads = client & u32::from(NO_ZEROES) == 0;
    for _ in 0..OPTIONS_MAX {
        if u64::from_be_bytes(take(stream)?) != OPTION_MAGIC {
            return Err(invalid("bad option magic"));
        }
        let option = u32::from_be_bytes(take(stream)?);
        let length = u32::from_be_bytes(take(stream)?);
        if length > OPTION_MAX {
            return Err(invalid("an option longer than 8192 bytes"));
        }
        let mut data = vec![0; length as usize];
        stream.read_exact(&mut data)?;
        match option {
            // EXPORT_NAME: the only option that is answered without a reply header. Every name is
            // this disk.
            1 => {
                let mut answer = Vec::with_capacity(134);
                answer.extend(export.length.to_be_bytes());
                answer.extend(TRANSMISSION_FLAGS.to_be_bytes());
                answer.resize(if pads { 134 } else { 10 }, 0);
                stream.write_all(&answer)?;
                return Ok(true);
            }
            2 => {
                reply_option(stream, option, REPLY_ACK, &[])?;
                return Ok(false);
            }
            3 if data.is_empty() => {
                reply_option(stream, option, REPLY_SERVER, &0_u32.to_be_bytes())?;
                reply_option(stream, option, REPLY_ACK, &[])?;
            }
            6 | 7 if is_info_request(&data) => {
                reply_info(stream, option, export)?;
                if option == 7 {
                    return Ok(true);
                }
            }
            3 | 6 | 7 => reply_option(stream, option, REPLY_INVALID, &[])?,
            _ => reply_option(stream, option, REPLY_UNSUPPORTED, &[])?,
        }
    }
    Err(invalid("too many options"))
}

const REPLY_ACK: u32 = 1;
const REPLY_SERVER: u32 = 2;
const REPLY_INFO: u32 = 3;
const REPLY_UNSUPPORTED: u32 = (1 << 31) | 1;
const REPLY_INVALID: u32 = (1 << 31) | 3;

/// Length of the name, name, count of information requests, the requests.
fn is_info_request(data: &[u8]) -> bool {
    let Some(name) = data.get(..4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes)
    else {
        return false;
    };
    let Some(rest) = data.get(4..).and_then(|rest| rest.get(name as usize..)) else { return false };
    match rest {
        [high, low, requests @ ..] => {
            requests.len() == 2 * usize::from(u16::from_be_bytes([*high, *low]))
        }
        _ => false,
    }
}

fn reply_info(stream: &mut impl Write, option: u32, export: Export) -> io::Result<()> {
    let mut disk = vec![0, 0];
    disk.extend(export.length.to_be_bytes());
    disk.extend(TRANSMISSION_FLAGS.to_be_bytes());
    reply_option(stream, option, REPLY_INFO, &disk)?;
    let mut blocks = vec![0, 3];
    for size in [export.block_bytes, export.block_bytes.max(4096), PAYLOAD_MAX] {
        blocks.extend(size.to_be_bytes());
    }
    reply_option(stream, option, REPLY_INFO, &blocks)?;
    reply_option(stream, option, REPLY_ACK, &[])
}

fn reply_option(stream: &mut impl Write, option: u32, kind: u32, data: &[u8]) -> io::Result<()> {
    let mut reply = Vec::with_capacity(20 + data.len());
    reply.extend(OPTION_REPLY_MAGIC.to_be_bytes());
    reply.extend(option.to_be_bytes());
    reply.extend(kind.to_be_bytes());
    // At most OPTION_MAX bytes.
    reply.extend((data.len() as u32).to_be_bytes());
    reply.extend(data);
    stream.write_all(&reply)
}

pub(super) fn read_header(stream: &mut impl Read) -> io::Result<Header> {
    let bytes: [u8; 28] = take(stream)?;
    let long = |at: usize| {
        bytes[at..at + 8].iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte))
    };
    if (long(0) >> 32) as u32 != REQUEST_MAGIC {
        return Err(invalid("bad request magic"));
    }
    let operation = match u16::from_be_bytes([bytes[6], bytes[7]]) {
        0 => Operation::Read,
        1 => Operation::Write,
        2 => Operation::Disconnect,
        3 => Operation::Flush,
        _ => Operation::Other,
    };
    Ok(Header {
        flags: u16::from_be_bytes([bytes[4], bytes[5]]),
        operation,
        cookie: long(8),
        offset: long(16),
        length: u32::from_be_bytes([bytes[24], bytes[25], bytes[26], bytes[27]]),
    })
}

/// A simple reply; the data of a successful read follows it.
pub(super) fn reply(cookie: u64, error: u32, data: &[u8]) -> Vec<u8> {
    let mut reply = Vec::with_capacity(16 + data.len());
    reply.extend(REPLY_MAGIC.to_be_bytes());
    reply.extend(error.to_be_bytes());
    reply.extend(cookie.to_be_bytes());
    reply.extend(data);
    reply
}

fn take<const N: usize>(stream: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
