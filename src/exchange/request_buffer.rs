//! Requests that wait to be sent.

use crate::{
    error::{EncodeError, Error},
    request::Request,
    wire::Encoder,
};

/// Bytes reserved for a request at first. A longer request gets more.
const REQUEST_LENGTH: usize = 512;

/// Consecutive messages. The memory is kept and not cleared, since only written bytes are ever read.
#[derive(Debug, Default)]
pub(super) struct RequestBuffer {
    memory: Vec<u8>,
    length: usize,
}

impl RequestBuffer {
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.memory.get(..self.length).unwrap_or_default()
    }

    pub(super) fn as_mut_bytes(&mut self) -> &mut [u8] {
        self.memory.get_mut(..self.length).unwrap_or_default()
    }

    pub(super) const fn length(&self) -> usize {
        self.length
    }

    pub(super) const fn clear(&mut self) {
        self.length = 0;
    }

    /// Appends a request. A request that cannot be encoded leaves the buffer unchanged.
    pub(super) fn push(&mut self, request: &impl Request, sequence: u32) -> Result<(), Error> {
        let mut room = REQUEST_LENGTH;
        loop {
            if self.memory.len() < self.length + room {
                self.memory.resize(self.length + room, 0);
            }
            let mut encoder = Encoder::new(self.memory.get_mut(self.length..).unwrap_or_default());
            request.encode(sequence, &mut encoder);
            match encoder.finish() {
                Ok(length) => {
                    self.length += length;
                    return Ok(());
                }
                Err(EncodeError::BufferTooSmall { needed }) => room = needed,
                Err(error) => return Err(error.into()),
            }
        }
    }
}
