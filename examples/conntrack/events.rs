//! `-E`: prints events as they happen.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant},
};

use ctnetlink::{EventKind, Expectation, Flow, Timestamp};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{
    arguments::{Arguments, Table},
    failure::{Failure, Outcome},
    interrupt, listener,
    messages::complain,
    output::{Event, Output},
    report,
    sender::Programs,
};

/// An item of the event stream.
pub enum Received {
    Flow(EventKind, Flow, Option<u32>),
    Expectation(EventKind, Expectation),
    /// Events were lost here.
    Overrun,
    /// An event that does not decode.
    Malformed(String),
}

/// A stream of the events that the command selects.
pub trait Source: AsFd {
    /// Returns the next event that has arrived already.
    fn try_next(&mut self) -> Outcome<Option<Received>>;

    /// Returns the size of the receive buffer, in bytes.
    fn receive_buffer(&self) -> usize;
}

/// Events that are printed between two checks for signals.
const BURST: usize = 1024;
/// Time between two warnings of lost events.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(1);
/// Receive buffer that each event takes at least.
const LEAST_BYTES: usize = 256;

/// Prints events until SIGINT or SIGTERM, which end the command with status 0.
pub fn watch(mut arguments: Arguments) -> Outcome {
    // Before the socket is opened: a signal that comes in between must not be lost.
    let signals = interrupt::signals(SfdFlags::SFD_NONBLOCK)?;
    let mut source = listener::open(&arguments)?;
    if arguments.buffer_size.is_some() {
        let bytes = source.receive_buffer();
        complain(format_args!("NOTICE: Netlink socket buffer size has been set to {bytes} bytes."));
    }
    let table = arguments.table;
    let mut watcher = Watcher {
        output: Output::new(&mut arguments),
        programs: Programs::default(),
        shown: 0,
        overruns: 0,
        next_warning: Instant::now(),
    };
    // The head of a document does not wait for the first event.
    let watched = watcher.output.write().and_then(|()| watcher.watch(&mut source, &signals));
    watched.and_then(|()| watcher.output.finish())?;
    report_counts(table, watcher.shown, watcher.overruns);
    Ok(())
}

fn report_counts(table: Table, shown: u64, overruns: u64) {
    let what = if table == Table::Expect { "expectation" } else { "flow" };
    match overruns {
        0 => report(format_args!("{shown} {what} events have been shown.")),
        _ => report(format_args!("{shown} {what} events have been shown; overruns: {overruns}.")),
    }
}

struct Watcher {
    output: Output,
    programs: Programs,
    shown: u64,
    overruns: u64,
    next_warning: Instant,
}

impl Watcher {
    fn watch(&mut self, source: &mut impl Source, signals: &SignalFd) -> Outcome {
        let mut is_behind = false;
        loop {
            let is_over = wait(source.as_fd(), signals.as_fd(), is_behind)?;
            // Events that arrived before the signal are shown, at most as many as the buffer holds.
            let most = if is_over { source.receive_buffer() / LEAST_BYTES } else { BURST };
            is_behind = self.show(source, most)?;
            self.output.write()?;
            if is_over {
                return Ok(());
            }
        }
    }

    /// Shows at most that many events that have arrived already. Returns whether there may be more.
    fn show(&mut self, source: &mut impl Source, most: usize) -> Outcome<bool> {
        for _ in 0..most {
            match source.try_next()? {
                Some(received) => self.handle(received)?,
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    fn handle(&mut self, received: Received) -> Outcome {
        match received {
            Received::Flow(kind, flow, port_id) => {
                let time = flow.event_time.unwrap_or_else(Timestamp::now);
                let sender = port_id.map(|port_id| self.programs.sender(port_id));
                self.shown += 1;
                self.output.flow(&flow, Some(Event { kind, time, sender }))
            }
            Received::Expectation(kind, expectation) => {
                self.shown += 1;
                self.output.expectation(&expectation, Some(Event { kind, time: Timestamp::now(), sender: None }))
            }
            Received::Overrun => {
                self.overruns += 1;
                if Instant::now() < self.next_warning {
                    return Ok(());
                }
                self.next_warning = Instant::now() + BETWEEN_WARNINGS;
                self.output.write()?;
                complain(format_args!(
                    "WARNING: events were lost here: they come faster than they are read. See --buffer-size."
                ));
                Ok(())
            }
            Received::Malformed(error) => {
                complain(format_args!("WARNING: cannot decode an event: {error}"));
                Ok(())
            }
        }
    }
}

/// Waits for an event, a signal or the end of the reader, or only looks for them. Returns true if a signal came.
fn wait(events: BorrowedFd<'_>, signals: BorrowedFd<'_>, only_looks: bool) -> Outcome<bool> {
    let within = only_looks.then(Timespec::default);
    let stdout = io::stdout();
    let mut waiting = [
        PollFd::from_borrowed_fd(events, PollFlags::IN),
        PollFd::from_borrowed_fd(signals, PollFlags::IN),
        PollFd::new(&stdout, PollFlags::empty()),
    ];
    match poll(&mut waiting, within.as_ref()) {
        Err(rustix::io::Errno::INTR) => return Ok(false),
        other => other.map_err(io::Error::from)?,
    };
    let [_, signal, reader] = waiting;
    if reader.revents().contains(PollFlags::ERR) {
        return Err(Failure::ClosedPipe);
    }
    Ok(!signal.revents().is_empty())
}
