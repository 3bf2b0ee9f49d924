//! A small NBD client.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

pub(crate) const READ: u16 = 0;
pub(crate) const WRITE: u16 = 1;
pub(crate) const DISCONNECT: u16 = 2;
pub(crate) const FLUSH: u16 = 3;
pub(crate) const TRIM: u16 = 4;
pub(crate) const FUA: u16 = 1;

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: UnixStream,
    pub(crate) size: u64,
    pub(crate) flags: u16,
    pub(crate) blocks: Option<[u32; 3]>,
}

impl Client {
    /// Connects with NBD_OPT_GO, as QEMU does.
    pub(crate) fn connect(socket: &Path) -> Self {
        let mut client = Self::greet(socket);
        let mut data = 0_u32.to_be_bytes().to_vec();
        data.extend([0, 1, 0, 3]);
        client.option(7, &data);
        loop {
            let (kind, data) = client.option_reply();
            match (kind, data.get(1)) {
                (1, _) => return client,
                (3, Some(0)) => {
                    client.size = u64::from_be_bytes(data[2..10].try_into().unwrap());
                    client.flags = u16::from_be_bytes(data[10..12].try_into().unwrap());
                }
                (3, Some(3)) => {
                    let word = |at: usize| u32::from_be_bytes(data[at..at + 4].try_into().unwrap());
                    client.blocks = Some([word(2), word(6), word(10)]);
                }
                other => panic!("unexpected reply {other:?}"),
            }
        }
    }

    /// The greeting alone.
    pub(crate) fn greet(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut client = Self { stream, size: 0, flags: 0, blocks: None };
        let hello = client.take(18);
        assert_eq!(&hello[..16], b"NBDMAGICIHAVEOPT");
        assert_eq!(hello[16..], [0, 3]);
        client.stream.write_all(&3_u32.to_be_bytes()).unwrap();
        client
    }

    pub(crate) fn option(&mut self, option: u32, data: &[u8]) {
        let mut bytes = b"IHAVEOPT".to_vec();
        bytes.extend(option.to_be_bytes());
        bytes.extend((data.len() as u32).to_be_bytes());
        bytes.extend(data);
        self.stream.write_all(&bytes).unwrap();
    }

    pub(crate) fn option_reply(&mut self) -> (u32, Vec<u8>) {
        let head = self.take(20);
        assert_eq!(head[..8], 0x0003_e889_0455_65a9_u64.to_be_bytes());
        let length = u32::from_be_bytes(head[16..20].try_into().unwrap());
        (u32::from_be_bytes(head[12..16].try_into().unwrap()), self.take(length as usize))
    }

    pub(crate) fn send(
        &mut self,
        command: u16,
        flags: u16,
        cookie: u64,
        offset: u64,
        length: u32,
        data: &[u8],
    ) {
        let mut bytes = 0x2560_9513_u32.to_be_bytes().to_vec();
        bytes.extend(flags.to_be_bytes());
        bytes.extend(command.to_be_bytes());
        bytes.extend(cookie.to_be_bytes());
        bytes.extend(offset.to_be_bytes());
        bytes.extend(length.to_be_bytes());
        bytes.extend(data);
        self.stream.write_all(&bytes).unwrap();
    }

    /// The error number and the cookie of the next simple reply.
    pub(crate) fn reply(&mut self) -> (u32, u64) {
        let head = self.take(16);
        assert_eq!(head[..4], 0x6744_6698_u32.to_be_bytes());
        (
            u32::from_be_bytes(head[4..8].try_into().unwrap()),
            u64::from_be_bytes(head[8..16].try_into().unwrap()),
        )
    }

    pub(crate) fn write(&mut self, offset: u64, data: &[u8], flags: u16) -> u32 {
        self.send(WRITE, flags, 7, offset, data.len() as u32, data);
        self.reply().0
    }

    pub(crate) fn read(&mut self, offset: u64, length: u32) -> Result<Vec<u8>, u32> {
        self.send(READ, 0, 8, offset, length, &[]);
        match self.reply() {
            (0, 8) => Ok(self.take(length as usize)),
            (error, _) => Err(error),
        }
    }

    pub(crate) fn flush(&mut self) -> u32 {
        self.send(FLUSH, 0, 9, 0, 0, &[]);
        self.reply().0
    }

    pub(crate) fn is_hung_up(&mut self) -> bool {
        matches!(self.stream.read(&mut [0]), Ok(0) | Err(_))
    }

    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }
}
