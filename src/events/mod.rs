//! Events: what happens to flows and expectations, as it happens, and a table that follows it.
//!
//! [`EventSocket`] listens. What it gives ([`Event`]) is read where it lies in the receive buffer, in the order in which
//! the kernel sent it; that events were lost is one of the things it says, at the place where they are missing.
//!
//! # Loss
//!
//! The kernel drops an event where the listener's receive buffer is full, and from then on every event until the
//! listener has emptied the buffer. It tells so by an error (`ENOBUFS`) that comes *before* the events that are still
//! in the buffer. The stream gives those first, then [`Event::Overrun`], and goes on. An event takes about 1280 bytes of
//! the buffer: see [`EventSocketBuilder::receive_buffer`].
//!
//! # A table that stays true
//!
//! [`FlowTable`] is a copy of the kernel's table, and [`Mirror`] feeds it: it listens, then dumps, then follows the events,
//! and where some were lost it dumps again and tells the differences as changes, marked as inferred. What events never
//! tell, the silent end of flows that began before anybody listened, an audit finds: a dump from time to time.
//!
//! Nothing here locks; a table has one owner. To read it from other threads, let one thread wait for the mirror's
//! descriptor without a lock, and take a lock for as long as it takes what has come. This is what the example `mirror`
//! does:
//!
//! ```no_run
//! use std::sync::{Arc, RwLock};
//! use std::time::{Duration, Instant};
//! use ctnetlink::Mirror;
//!
//! let mirror = Mirror::open()?;
//! let ready = mirror.waiter()?;
//! let mirror = Arc::new(RwLock::new(mirror));
//! let readers = Arc::clone(&mirror);
//! std::thread::spawn(move || -> Result<(), ctnetlink::Error> {
//!     loop {
//!         // A dump that is due, or under way, needs no event.
//!         let due = mirror.read().expect("no thread panicked").due();
//!         let second = Duration::from_secs(1);
//!         let patience = due.map_or(second, |due| due.saturating_duration_since(Instant::now()));
//!         ready.wait(patience.min(second))?;
//!         // For one change at a time, so that readers need not wait long.
//!         while mirror.write().expect("no thread panicked").try_next()?.is_some() {}
//!     }
//! });
//! println!("{} flows", readers.read().expect("no thread panicked").table().len());
//! # Ok::<(), ctnetlink::Error>(())
//! ```
//!
//! # Example
//!
//! ```no_run
//! use ctnetlink::{Event, EventGroups, EventSocket};
//!
//! let mut events = EventSocket::open(EventGroups::NEW | EventGroups::DESTROY)?;
//! loop {
//!     match events.next()? {
//!         Event::New(new) => println!("{} begins", new.flow.original().source()),
//!         Event::Destroy(end) => println!("{} ends", end.flow.original().source()),
//!         Event::Overrun => println!("some are missing here"),
//!         _ => {}
//!     }
//! }
//! # Ok::<(), ctnetlink::Error>(())
//! ```

mod event;
mod groups;
#[cfg(all(target_os = "linux", feature = "client"))]
mod mirror;
#[cfg(all(target_os = "linux", feature = "client"))]
mod namespaces;
#[cfg(all(target_os = "linux", feature = "client"))]
mod socket;
#[cfg(any(test, all(target_os = "linux", feature = "client")))]
mod stream;
#[cfg(any(test, all(target_os = "linux", feature = "client")))]
mod synchroniser;
mod table;

pub use event::{Event, ExpectationEvent, FlowEvent, Malformed};
pub use groups::EventGroups;
#[cfg(all(target_os = "linux", feature = "client"))]
pub use mirror::{Mirror, Waiter};
#[cfg(all(target_os = "linux", feature = "client"))]
pub use socket::{EventSocket, EventSocketBuilder};
pub use table::{Change, ChangeKind, FlowTable, TableEntry};
