//! A transport that plays a script, and messages as a kernel sends them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics fails")]

use std::{collections::VecDeque, io, time::Duration};

use super::{Datagram, Transport, Wait, batch::ACKNOWLEDGEMENT_COST};
use crate::{
    Errno, Error, Flow, Tuple,
    wire::{Encoder, Family, Flags, MessageType},
};

/// The result of the next receive.
#[derive(Clone, Debug)]
pub(crate) enum ScriptStep {
    /// A datagram from that port.
    Datagram(Vec<u8>, u32),
    /// A datagram that is longer than the buffer.
    Truncated(usize),
    /// An error of the system.
    Failure(Errno),
}

impl ScriptStep {
    /// Nothing has arrived.
    #[cfg(test)]
    pub(crate) const EMPTY: Self = Self::Failure(Errno::EAGAIN);

    /// Plays the next step. After the last, nothing arrives.
    pub(crate) fn play(steps: &mut VecDeque<Self>, buffer: &mut [u8]) -> io::Result<Datagram> {
        let (length, sender) = match steps.pop_front() {
            Some(Self::Datagram(bytes, sender)) => {
                buffer[..bytes.len()].copy_from_slice(&bytes);
                (bytes.len(), sender)
            }
            Some(Self::Truncated(length)) => (length, 0),
            Some(Self::Failure(errno)) => return Err(io::Error::from_raw_os_error(errno.0)),
            None => return Err(io::ErrorKind::WouldBlock.into()),
        };
        Ok(Datagram { length, sender, namespace: None })
    }
}

#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) steps: VecDeque<ScriptStep>,
    /// Whether each receive was to wait.
    pub(crate) waits: Vec<Wait>,
    /// Errors of the next sends.
    pub(crate) send_failures: VecDeque<Errno>,
    pub(crate) sent: Vec<Vec<u8>>,
    pub(crate) renewals: usize,
    pub(crate) cannot_renew: bool,
    /// The number of answers that the receive buffer holds, if it is small.
    pub(crate) most_answers: Option<usize>,
}

impl Transport for Script {
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        if let Some(errno) = self.send_failures.pop_front() {
            return Err(io::Error::from_raw_os_error(errno.0));
        }
        self.sent.push(datagram.to_vec());
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8], wait: Wait) -> io::Result<Datagram> {
        self.waits.push(wait);
        ScriptStep::play(&mut self.steps, buffer)
    }

    fn wait(&mut self, _patience: Duration) -> io::Result<bool> {
        Ok(!self.steps.is_empty())
    }

    fn renew(&mut self) -> io::Result<bool> {
        self.renewals += 1;
        Ok(!self.cannot_renew)
    }

    fn open_another(&self) -> Result<Box<dyn Transport>, Error> {
        Ok(Box::new(Self::default()))
    }

    fn receive_capacity(&self) -> usize {
        self.most_answers.map_or(212_992, |answers| answers * ACKNOWLEDGEMENT_COST)
    }

    fn send_capacity(&self) -> usize {
        212_992
    }
}

pub(crate) fn tuple(port: u16) -> Tuple {
    Tuple::udp(([10, 0, 0, 1], port).into(), ([10, 0, 0, 2], 53).into())
}

/// An entry of the answer to the request with that sequence number.
pub(crate) fn entry(sequence: u32, port: u16) -> Vec<u8> {
    let flow = Flow::new(tuple(port), tuple(port).inverted().unwrap());
    let mut buffer = vec![0; 512];
    let mut encoder = Encoder::new(&mut buffer);
    encoder.message(MessageType::FLOW_NEW, Flags::MULTI, sequence, Family::IPV4, |body| flow.encode(body));
    let length = encoder.finish().unwrap();
    buffer.truncate(length);
    buffer
}

/// A control message: type, flags, and a payload that begins with the code.
pub(crate) fn control(message_type: MessageType, flags: Flags, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (16 + payload.len() as u32).to_ne_bytes().to_vec();
    bytes.extend(message_type.0.to_ne_bytes());
    bytes.extend(flags.bits().to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

pub(crate) fn done(sequence: u32, code: i32) -> Vec<u8> {
    control(MessageType::DONE, Flags::MULTI, sequence, &code.to_ne_bytes())
}

/// An acknowledgement, or an error, that echoes only the header of the request.
pub(crate) fn acknowledgement(sequence: u32, errno: Errno) -> Vec<u8> {
    let mut payload = (-errno.0).to_ne_bytes().to_vec();
    payload.extend([0; 16]);
    control(MessageType::ERROR, Flags::CAPPED, sequence, &payload)
}
