//! Events, as they happen.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

use ctnetlink::{EventKind, Expectation, Flow, Timestamp};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, poll};

use crate::{
    arguments::{Arguments, Table},
    failure::{Failure, Outcome},
    interrupt, listener,
    messages::complain,
    output::{Event, Output},
    sender::Programs,
    tell,
};

/// What a listener is told.
pub enum Told {
    Flow(EventKind, Flow, Option<u32>),
    Expectation(EventKind, Expectation),
    /// Events are missing here.
    Lost,
    /// The kernel sent something that does not read.
    Malformed(String),
}

/// Where events come from: only those that are meant.
pub trait Source: AsFd {
    /// The next event, if there is one already.
    fn try_next(&mut self) -> Outcome<Option<Told>>;

    /// Bytes that the kernel granted for events that wait.
    fn receive_buffer(&self) -> usize;
}

/// How many events are printed before signals are looked for again.
const BURST: usize = 1024;
/// The least that an event takes of the receive buffer.
const LEAST_BYTES: usize = 256;

/// Prints events until somebody has seen enough: SIGINT and SIGTERM end it well.
pub fn watch(mut arguments: Arguments) -> Outcome {
    // Before the socket is opened, so that no signal in between is lost.
    let signals = interrupt::signals(SfdFlags::SFD_NONBLOCK)?;
    let mut source = listener::open(&arguments)?;
    if arguments.buffer_size.is_some() {
        let bytes = source.receive_buffer();
        complain(format_args!("NOTICE: Netlink socket buffer size has been set to {bytes} bytes."));
    }
    let table = arguments.table;
    let mut watcher =
        Watcher { output: Output::new(&mut arguments), programs: Programs::default(), shown: 0, losses: 0 };
    // What opens a document is not to wait for the first event.
    let watched = watcher.output.write().and_then(|()| watcher.watch(&mut source, &signals));
    watched.and_then(|()| watcher.output.finish())?;
    tell_counts(table, watcher.shown, watcher.losses);
    Ok(())
}

fn tell_counts(table: Table, shown: u64, losses: u64) {
    let what = if table == Table::Expect { "expectation" } else { "flow" };
    match losses {
        0 => tell(format_args!("{shown} {what} events have been shown.")),
        losses => tell(format_args!("{shown} {what} events have been shown, and others lost {losses} times.")),
    }
}

struct Watcher {
    output: Output,
    programs: Programs,
    shown: u64,
    losses: u64,
}

impl Watcher {
    fn watch(&mut self, source: &mut impl Source, signals: &SignalFd) -> Outcome {
        loop {
            let is_over = wait(source.as_fd(), signals.as_fd())?;
            // What had come in before the signal is shown even so: no more than there is room for.
            let most = if is_over { source.receive_buffer() / LEAST_BYTES } else { BURST };
            for _ in 0..most {
                match source.try_next()? {
                    Some(told) => self.tell(told)?,
                    None => break,
                }
            }
            self.output.write()?;
            if is_over {
                return Ok(());
            }
        }
    }

    fn tell(&mut self, told: Told) -> Outcome {
        match told {
            Told::Flow(kind, flow, port_id) => {
                let time = flow.event_time.unwrap_or_else(Timestamp::now);
                let sender = port_id.map(|port_id| self.programs.sender(port_id));
                self.shown += 1;
                self.output.flow(&flow, Some(Event { kind, time, sender }))
            }
            Told::Expectation(kind, expectation) => {
                self.shown += 1;
                self.output.expectation(&expectation, Some(Event { kind, time: Timestamp::now(), sender: None }))
            }
            Told::Lost => {
                self.losses += 1;
                self.output.write()?;
                complain(format_args!(
                    "WARNING: events were lost here: they come faster than they are read. See --buffer-size."
                ));
                Ok(())
            }
            Told::Malformed(error) => {
                complain(format_args!("WARNING: an event that does not read: {error}"));
                Ok(())
            }
        }
    }
}

/// Waits for an event, a signal, or for the reader to go away; whether it is a signal.
fn wait(events: BorrowedFd<'_>, signals: BorrowedFd<'_>) -> Outcome<bool> {
    let stdout = io::stdout();
    let mut waiting = [
        PollFd::from_borrowed_fd(events, PollFlags::IN),
        PollFd::from_borrowed_fd(signals, PollFlags::IN),
        PollFd::new(&stdout, PollFlags::empty()),
    ];
    match poll(&mut waiting, None) {
        Err(rustix::io::Errno::INTR) => return Ok(false),
        other => other.map_err(io::Error::from)?,
    };
    let [_, signal, reader] = waiting;
    if reader.revents().contains(PollFlags::ERR) {
        return Err(Failure::ClosedPipe);
    }
    Ok(!signal.revents().is_empty())
}
