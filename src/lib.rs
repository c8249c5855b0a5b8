//! Linux connection tracking: read, watch and change the kernel's table of flows.
//!
//! The kernel remembers every connection that passes it, to tell answers from requests and to translate addresses: a
//! *flow*, of two *tuples*, one for each direction. The *original* tuple is what the initiator sent; the *reply* tuple
//! is what the answers look like, which is the inverse of the first unless the flow is translated. With them the kernel
//! keeps how long the flow will live without a packet, in which state its protocol is, and whatever else rules, helpers
//! and users put there. This crate speaks ctnetlink, the netlink interface to that table.
//!
//! # Read
//!
//! ```no_run
//! use ctnetlink::Client;
//!
//! let mut client = Client::open()?;
//! let mut flows = client.dump()?;
//! while let Some(flow) = flows.next_view()? {
//!     // A view of the receive buffer: nothing is copied.
//!     println!("{} {:?}", flow.original().source(), flow.timeout());
//! }
//! for flow in client.dump()? {
//!     println!("{}", flow?); // a value, printed as `conntrack -L` prints it
//! }
//! # Ok::<(), ctnetlink::Error>(())
//! ```
//!
//! [`FlowRef`] is the view and [`Flow`] the value: what is a field of the one is a method of that name of the other, and
//! the methods are the same. What the kernel left out is `None`, never 0.
//!
//! # Filter
//!
//! A [`Filter`] runs where it is cheapest and means the same everywhere: in the kernel, in the socket, or here. It is
//! built from terms or read from a [language](filter#the-language), and its plan says what the kernel will be asked.
//!
//! ```
//! use ctnetlink::{Filter, Flow, Protocol, Tuple, filter::Capabilities};
//!
//! let filter: Filter = "proto udp and dport 53 and not assured".parse()?;
//! assert_eq!(filter, Filter::protocol(Protocol::UDP) & Filter::destination_port(53) & !Filter::assured());
//!
//! let original = Tuple::udp("10.0.0.1:40000".parse()?, "10.0.0.2:53".parse()?);
//! assert!(filter.matches(&Flow::new(original, original.inverted().expect("UDP has an answer"))));
//! println!("{}", filter.plan(&Capabilities::linux(6, 12)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ```no_run
//! # let mut client = ctnetlink::Client::open()?;
//! for flow in client.dump_matching(&"proto udp and dport 53".parse()?)? {
//!     println!("{}", flow?);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Change
//!
//! ```no_run
//! # let mut client = ctnetlink::Client::open()?;
//! use ctnetlink::{FlowUpdate, NewFlow, FlowKey, NatRange, TcpState, Tuple};
//!
//! let original = Tuple::tcp("10.0.0.1:40000".parse()?, "10.0.0.2:80".parse()?);
//! let mut flow = NewFlow::untranslated(original, 300).expect("TCP has an answer").liberal_tcp(TcpState::ESTABLISHED);
//! flow.snat = Some(NatRange::address("192.0.2.1".parse()?));
//! client.create(&flow)?;
//!
//! let created = client.get(FlowKey::original(original))?.expect("it was created just now");
//! println!("seen as {:?}", created.snat());
//! client.update(&created, &FlowUpdate::new().mark(10))?;
//! client.delete(&created)?; // by tuple, zone and identifier
//!
//! let report = client.update_matching(&"dport 993".parse()?, &FlowUpdate::new().mark(10))?;
//! println!("{}", report.display_as("marked")); // marked 3 flows
//! let report = client.delete_matching(&"src 192.0.2.7 and not assured".parse()?)?;
//! println!("{report}"); // deleted 1 flow
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! An update sends what it names and nothing else; 0 is a value. Many changes at once go in a [`Batch`], which is
//! answered one by one:
//!
//! ```no_run
//! # let mut client = ctnetlink::Client::open()?;
//! # let flows: Vec<ctnetlink::NewFlow> = Vec::new();
//! let mut batch = client.batch();
//! for flow in &flows {
//!     batch.push(flow)?;
//! }
//! let report = batch.finish()?;
//! println!("{} created, {} refused", report.succeeded(), report.failures().len());
//! # Ok::<(), ctnetlink::Error>(())
//! ```
//!
//! # Watch
//!
//! ```no_run
//! use ctnetlink::{Event, EventGroups, EventSocket};
//!
//! for event in EventSocket::open(EventGroups::FLOWS)? {
//!     match event? {
//!         Event::New(new) => println!("new:   {}", new.flow),
//!         Event::Destroy(end) => println!("ended: {}", end.flow),
//!         Event::Overrun => println!("events are missing here"),
//!         _ => {}
//!     }
//! }
//! # Ok::<(), ctnetlink::Error>(())
//! ```
//!
//! # Mirror
//!
//! A [`Mirror`] keeps a copy of the table that stays true, through loss as well, and tells every change:
//!
//! ```no_run
//! use ctnetlink::{ChangeKind, Mirror};
//!
//! let mut mirror = Mirror::open()?;
//! mirror.synchronize()?;
//! println!("{} flows now", mirror.table().len());
//! while let Some(change) = mirror.next().transpose()? {
//!     if change.kind == ChangeKind::Vanished {
//!         println!("ended: {}, {} left", change.flow, mirror.table().len());
//!     }
//! }
//! # Ok::<(), ctnetlink::Error>(())
//! ```
//!
//! # Lines
//!
//! [`proc`] parses `/proc/net/nf_conntrack` and what conntrack(8) prints, on any operating system; [`mod@format`]
//! prints text, save lines, XML and JSON.
//!
//! ```
//! use ctnetlink::{TcpState, proc::Line};
//!
//! let line = Line::parse(
//!     b"ipv4     2 tcp      6 117 SYN_SENT src=10.0.0.1 dst=10.0.0.2 sport=40000 dport=22 [UNREPLIED] \
//!       src=10.0.0.2 dst=10.0.0.1 sport=22 dport=40000 mark=0 use=2",
//! )?;
//! let flow = line.to_flow();
//! assert_eq!(flow.original.destination_port(), Some(22));
//! assert_eq!((flow.timeout, flow.tcp_state()), (Some(117), Some(TcpState::SYN_SENT)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Permissions
//!
//! Everything that goes through netlink needs CAP_NET_ADMIN in the user namespace that owns the network namespace, and
//! says so where it is missing ([`Error::is_permission_denied`]). A [`Client`], [`EventSocket`] or [`Mirror`] works in
//! the namespace of the thread that opened it, or in the [`NetworkNamespace`] that its builder was given.
//!
//! # Settings
//!
//! What the kernel keeps of a flow is decided when the flow begins. [`sysctl`] reads and writes these:
//!
//! | | off, or low | |
//! |---|---|---|
//! | [`sysctl::ACCOUNTING`] | 0, the default | no flow has counters |
//! | [`sysctl::TIMESTAMP`] | 0, the default | no flow has a beginning, no event a time |
//! | [`sysctl::EVENTS`] | 2, the default | flows that began before anybody listened send no events |
//! | [`sysctl::MAX`] | reached | new connections are dropped; creating fails |
//!
//! # Without a client
//!
//! [`wire`] and the model decode and encode messages that somebody else carries, [`request`] writes them, [`exchange`]
//! tells which answers which, and [`Message`] is any of them as one type. With the feature `packet-core` (on by
//! default) a `Message` travels through netlink-proto.
//!
//! # Features
//!
//! - `client` (default): the sockets. On other systems than Linux it adds nothing.
//! - `packet-core` (default): the traits of netlink-packet-core on [`Message`], [`Flow`] and [`Expectation`].
//! - `serde`: the values serialize, with states and addresses in words.
//! - `json`: JSON in [`mod@format`], by serde_json.
//!
//! # Examples
//!
//! | `cargo run --example …` | |
//! |---|---|
//! | `demo` | a private namespace, filled and listed: the one to begin with |
//! | `list`, `create`, `mark`, `delete` | flows, the most by a filter |
//! | `expectations`, `stats` | what helpers expect; the size of the table and the counts of the processors |
//! | `events`, `nat_log`, `mirror` | what happens, as it happens |
//! | `tokio`, `netlink_proto` | the same asynchronously |
//! | `proc` | lines of `/proc/net/nf_conntrack`, summed up |
//! | `conntrack` | a drop-in for conntrack(8) |
//!
//! # More
//!
//! [`_documentation`] holds the documents of the repository: the design, what to know of the kernel, and a comparison
//! with other libraries.

// docs.rs shows which feature and which system each item needs.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![warn(clippy::allow_attributes_without_reason)]

#[cfg(any(doc, doctest))]
pub mod _documentation;
#[cfg(any(all(target_os = "linux", feature = "client"), feature = "fake"))]
mod client;
mod error;
pub mod events;
#[cfg_attr(
    not(any(all(target_os = "linux", feature = "client"), feature = "fake")),
    allow(dead_code, unused_imports, reason = "parts of it serve the client alone")
)]
pub mod exchange;
pub mod filter;
pub mod format;
mod macros;
pub mod message;
pub mod model;
#[cfg(feature = "packet-core")]
mod packet_core;
pub mod proc;
pub mod request;
#[cfg(feature = "serde")]
mod serde;
pub mod wire;

#[cfg(any(all(target_os = "linux", feature = "client"), feature = "fake"))]
#[doc(inline)]
pub use client::*;
#[doc(inline)]
pub use error::{
    AttributePath, DecodeError, DecodeErrorKind, EncodeError, Errno, Error, ErrorKind, KernelError, Operation,
    ParseError,
};
#[doc(inline)]
pub use events::*;
#[doc(inline)]
pub use exchange::batch::{BatchOutcome, BatchReport};
#[doc(inline)]
pub use filter::Filter;
#[doc(inline)]
pub use message::Message;
#[doc(inline)]
pub use model::*;
#[doc(inline)]
pub use request::{create::NewFlow, update::FlowUpdate};
