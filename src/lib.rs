//! Linux connection tracking: read, watch and change the kernel's table of flows.
//!
//! The kernel remembers every connection that passes it, to tell answers from requests and to translate addresses: a
//! *flow*, of two *tuples*, one for each direction. This crate speaks ctnetlink, the netlink interface to that table.
//!
//! # Read
//!
//! ```no_run
//! use ctnetlink::Client;
//!
//! let mut client = Client::open()?;
//! let mut flows = client.dump()?;
//! while let Some(flow) = flows.next() {
//!     let flow = flow?; // a view, read where it lies in the receive buffer
//!     println!("{} {:?}", flow.original().source(), flow.timeout());
//! }
//! for flow in client.dump()? {
//!     println!("{}", flow?); // a value, printed as `conntrack -L` prints it
//! }
//! # Ok::<(), ctnetlink::Error>(())
//! ```
//!
//! # Filter
//!
//! A [`Filter`] runs where it is cheapest and means the same everywhere: see [`filter`] for its language.
//!
//! ```no_run
//! # let mut client = ctnetlink::Client::open()?;
//! let filter: ctnetlink::Filter = "proto udp and dport 53 and not assured".parse()?;
//! println!("{}", filter.plan(&client.capabilities()?));
//! for flow in client.dump_matching(&filter)? {
//!     println!("{}", flow?);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Change
//!
//! ```no_run
//! # let mut client = ctnetlink::Client::open()?;
//! use ctnetlink::{FlowKey, NatRange, TcpState, Tuple, request::{FlowUpdate, NewFlow}};
//!
//! let original = Tuple::tcp("10.0.0.1:40000".parse()?, "10.0.0.2:80".parse()?);
//! let mut flow = NewFlow::untranslated(original, 300).expect("TCP has an answer").liberal_tcp(TcpState::ESTABLISHED);
//! flow.nat_source = Some(NatRange::address("192.0.2.1".parse()?));
//! client.create(&flow)?;
//!
//! let created = client.get(FlowKey::original(original))?.expect("it was created just now");
//! println!("seen as {:?}", created.source_translation());
//! client.update(&created, &FlowUpdate::new().mark(10))?;
//! client.delete(&created)?; // this flow, and no other that reuses its tuple
//!
//! let report = client.update_matching(&"dport 993".parse()?, &FlowUpdate::new().mark(10))?;
//! println!("{} marked, {} ended meanwhile", report.changed, report.vanished);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Many changes at once go in a [`Batch`].
//!
//! # Watch
//!
//! ```no_run
//! use ctnetlink::{Event, EventGroups, EventSocket};
//!
//! let mut events = EventSocket::open(EventGroups::FLOWS)?;
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
//!
//! A [`Mirror`] keeps a copy of the table that stays true, through loss as well: see [`events`].
//!
//! # Lines
//!
//! [`proc`] parses `/proc/net/nf_conntrack` and what conntrack(8) prints, on any operating system; [`mod@format`] prints
//! text, save lines, XML and JSON.
//!
//! # Permissions and settings
//!
//! Everything needs CAP_NET_ADMIN in the user namespace that owns the network namespace. Flows have counters only if
//! [`sysctl::ACCOUNTING`] was on when they began, and times only if [`sysctl::TIMESTAMP`] was.
//!
//! # Without a client
//!
//! [`wire`] and the model decode and encode messages that somebody else carries, [`request`] writes them, [`exchange`]
//! tells which answers which, and [`Message`] is any of them as one type.

#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![warn(clippy::allow_attributes_without_reason)]

#[cfg(any(doc, doctest))]
pub mod _documentation;
#[cfg(all(target_os = "linux", feature = "client"))]
mod client;
mod error;
pub mod events;
#[cfg_attr(
    not(all(target_os = "linux", feature = "client")),
    allow(dead_code, unused_imports, reason = "parts of it serve the client alone")
)]
pub mod exchange;
pub mod filter;
pub mod format;
mod macros;
pub mod message;
pub mod model;
mod numbers;
#[cfg(feature = "packet-core")]
mod packet_core;
pub mod proc;
pub mod request;
#[cfg(feature = "serde")]
mod serde;
pub mod wire;

#[cfg(all(target_os = "linux", feature = "client"))]
pub use client::*;
pub use error::{
    AttributePath, DecodeError, DecodeErrorKind, EncodeError, Errno, Error, KernelError, Operation, ParseNameError,
};
pub use events::*;
pub use filter::Filter;
pub use message::Message;
pub use model::*;
