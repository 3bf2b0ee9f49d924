//! Versioned bytes for everything that leaves the process: a version, a body, nothing after it.

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// The version of the wire and the log. Another one is refused, never guessed at.
pub const VERSION: u8 = 7;

/// Bytes that are not ours to read. Nothing was taken from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CodecError {
    /// There is not one byte.
    #[error("empty")]
    Empty,
    /// Another version wrote them.
    #[error("version {0} is not {VERSION}")]
    Version(u8),
    /// They end too early, or hold what no writer of this version makes.
    #[error("malformed")]
    Malformed,
    /// Something stands after the end.
    #[error("{0} bytes after the end")]
    Trailing(usize),
}

/// Encodes a value with its version.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_extend(value, vec![VERSION]).expect("our own types always encode")
}

/// Decodes what [`encode`] made.
///
/// # Errors
/// See [`CodecError`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let (&version, body) = bytes.split_first().ok_or(CodecError::Empty)?;
    if version != VERSION {
        return Err(CodecError::Version(version));
    }
    let (value, rest) = postcard::take_from_bytes(body).map_err(|_| CodecError::Malformed)?;
    if !rest.is_empty() {
        return Err(CodecError::Trailing(rest.len()));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{NodeId, RequestId};
    use crate::message::{Beat, Message};
    use proptest::prelude::*;

    fn bytes(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(any::<u8>(), length)
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in bytes(0..300)) {
            let _ = decode::<Message>(&bytes);
            let _ = decode::<Beat>(&bytes);
        }
    }

    /// Each relay takes a few bytes: without a limit one message of a peer could exhaust the stack.
    #[test]
    fn relays_within_relays_are_refused_at_once() {
        let reply = Message::Reply { request: RequestId(1), result: Ok(()) };
        let relay =
            |message| Message::Relay { from: NodeId(1), to: NodeId(2), message: Box::new(message) };
        let once = relay(reply);
        assert_eq!(decode::<Message>(&encode(&once)), Ok(once.clone()));
        assert_eq!(decode::<Message>(&encode(&relay(once))), Err(CodecError::Malformed));
        let deep = [&[VERSION][..], &[5, 1, 2].repeat(1_000_000)].concat();
        assert_eq!(decode::<Message>(&deep), Err(CodecError::Malformed));
    }

    #[test]
    fn what_stands_after_the_end_is_refused() {
        let mut bytes = encode(&7u32);
        bytes.push(0);
        assert_eq!(decode::<u32>(&bytes), Err(CodecError::Trailing(1)));
        assert_eq!(decode::<u32>(&[]), Err(CodecError::Empty));
        assert_eq!(decode::<u32>(&[9, 1]), Err(CodecError::Version(9)));
    }
}
