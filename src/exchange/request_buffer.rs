//! Requests that wait to be sent.

use crate::{
    error::{EncodeError, Error},
    request::Request,
    wire::Encoder,
};

/// Room for a request at first; one that is larger gets more.
const REQUEST_LENGTH: usize = 512;

/// Messages, one behind the other. Its memory is kept and not cleared: only what is written is ever given out.
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

    /// Writes a request behind the others. One that cannot be encoded leaves nothing.
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
