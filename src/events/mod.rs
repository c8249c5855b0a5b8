//! Events of flows and expectations, and a copy of the table that follows them.
//!
//! [`EventSocket`] yields events in the order in which the kernel sent them. If events were lost, it yields an overrun in
//! their place.
//!
//! # Loss
//!
//! The kernel drops an event if the listener's receive buffer is full, and from then on every event until the listener has
//! emptied the buffer. It reports this by an error (`ENOBUFS`) that arrives *before* the events that are still in the
//! buffer. The socket yields those first, then [`Event::Overrun`], and goes on. An event takes about 1,280 bytes of the
//! buffer: see [`EventSocketBuilder::receive_buffer`](crate::EventSocketBuilder::receive_buffer).
//!
//! # A copy of the table
//!
//! A [`Mirror`] keeps a [`FlowTable`] equal to the kernel's table. It listens, then dumps the table, then follows the
//! events. If events were lost, it dumps the table again and yields the differences as changes, marked as inferred. An
//! audit, a dump from time to time, finds changes without events, such as the silent end of a flow that was created
//! while nobody listened.
//!
//! A table has one owner and no lock. To read it from several threads, let one thread wait for events without holding a
//! lock, and hold it only while it applies events. The example `mirror` does this:
//!
//! ```no_run
//! use std::sync::{Arc, RwLock};
//! use std::time::{Duration, Instant};
//! use ctnetlink::Mirror;
//!
//! let mirror = Mirror::open()?;
//! let waiter = mirror.waiter()?;
//! let mirror = Arc::new(RwLock::new(mirror));
//! let readers = Arc::clone(&mirror);
//! std::thread::spawn(move || -> Result<(), ctnetlink::Error> {
//!     loop {
//!         // A dump that is due or under way needs no event.
//!         let deadline = mirror.read().expect("no thread panicked").next_deadline();
//!         let second = Duration::from_secs(1);
//!         let timeout = deadline.map_or(second, |deadline| deadline.saturating_duration_since(Instant::now()));
//!         waiter.wait(timeout.min(second))?;
//!         // One change at a time: readers never wait long.
//!         while mirror.write().expect("no thread panicked").try_next()?.is_some() {}
//!     }
//! });
//! println!("{} flows", readers.read().expect("no thread panicked").table().len());
//! # Ok::<(), ctnetlink::Error>(())
//! ```
//!
//! # Stopping
//!
//! A wait goes on after a signal whose handler returns, because interrupted system calls are repeated. A
//! [`StopHandle`](crate::StopHandle) ends it: it may be used from another thread or inside of a signal handler, for
//! instance to end on Ctrl-C and still print a summary. Without a handler for the signal, Ctrl-C ends the process as
//! usual.
//!
//! # Example
//!
//! ```no_run
//! use ctnetlink::{Event, EventGroups, EventSocket};
//!
//! for event in EventSocket::open(EventGroups::NEW | EventGroups::DESTROY)? {
//!     match event? {
//!         Event::New(new) => println!("new:   {}", new.flow),
//!         Event::Destroy(end) => println!("ended: {}", end.flow),
//!         Event::Overrun => println!("events are missing here"),
//!         _ => {}
//!     }
//! }
//! # Ok::<(), ctnetlink::Error>(())
//! ```

pub(crate) mod event;
#[cfg(all(target_os = "linux", feature = "client"))]
pub(crate) mod listener;
#[cfg(any(all(target_os = "linux", feature = "client"), feature = "fake"))]
pub(crate) mod mirror;
#[cfg(any(all(target_os = "linux", feature = "client"), feature = "fake"))]
pub(crate) mod socket;
#[cfg(any(test, all(target_os = "linux", feature = "client"), feature = "fake"))]
mod stream;
#[cfg(any(test, all(target_os = "linux", feature = "client"), feature = "fake"))]
mod synchronizer;
pub(crate) mod table;

pub(crate) use event::Event;
#[cfg(any(all(target_os = "linux", feature = "client"), feature = "fake"))]
pub(crate) use event::EventGroups;
#[cfg(any(test, all(target_os = "linux", feature = "client"), feature = "fake"))]
pub(crate) use event::EventRef;
pub use event::{ExpectationEvent, ExpectationEventRef, FlowEvent, FlowEventRef};
#[cfg(feature = "fake")]
pub(crate) use mirror::Mirror;
#[cfg(all(target_os = "linux", feature = "client"))]
pub use mirror::Waiter;
#[cfg(any(all(target_os = "linux", feature = "client"), feature = "fake"))]
pub(crate) use socket::EventSocket;
#[cfg(any(feature = "fake", all(target_os = "linux", feature = "tokio")))]
pub(crate) use socket::Listener;
pub use table::TableIter;
#[cfg(fuzzing)]
pub use table::property;
#[cfg(any(test, all(target_os = "linux", feature = "client"), feature = "fake"))]
pub(crate) use table::{Change, FlowTable};
#[cfg(all(target_os = "linux", feature = "tokio"))]
pub(crate) use {stream::EventStep, synchronizer::Turn};
#[cfg(feature = "fake")]
pub(crate) use {
    stream::{Inbox, Source},
    synchronizer::Settings,
};
