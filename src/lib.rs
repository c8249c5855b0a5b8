//! Linux connection tracking: read, watch and change the kernel's table of flows.
//!
//! The kernel remembers each connection that passes through it, to recognize replies and to translate addresses. This
//! crate speaks ctnetlink, the netlink interface to that table, and parses the lines of `/proc/net/nf_conntrack`. It has
//! no `unsafe` code and needs no runtime.
//!
//! # Ten lines to start
//!
//! ```no_run
//! use ctnetlink::{Client, Filter};
//!
//! let mut client = Client::open()?;
//! let ssh: Filter = "proto tcp and dport 22".parse()?;
//! for flow in client.dump_matching(&ssh)? {
//!     println!("{}", flow?); // as `conntrack -L` prints it
//! }
//! # Ok::<(), ctnetlink::Error>(())
//! ```
//!
//! [`guide::cookbook`] has complete programs for common jobs.
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | *flow* | one entry of the table: a connection, or its equivalent for UDP, ICMP and other protocols |
//! | *tuple* | the addresses, ports and protocol of one direction. Each flow has an *original* tuple, sent by the initiator, and a *reply* tuple, the inverse unless the flow is translated |
//! | *zone* | a number that separates flows with equal tuples, for a flow or for one direction of it |
//! | *mark* | 32 bits that rules and users put on a flow (`ct mark`) |
//! | *label* | one of 128 bits that rules and users set on a flow (`ct label`) |
//! | *helper* | a kernel module that reads a protocol such as FTP or SIP to find related connections |
//! | *expectation* | a connection that a helper expects; its *master* is the flow in which the helper found it |
//! | *dump* | a walk over the whole table, or over the part that a filter selects |
//! | *overrun* | events were lost because the receive buffer was full |
//!
//! # Which type to use
//!
//! | to | use |
//! |---|---|
//! | list, get, create, change or delete flows | [`Client`] |
//! | make many changes in few system calls | [`Batch`], from [`Client::batch`] |
//! | say which flows | [`Filter`], built from terms or parsed from [text](filter#the-language) |
//! | describe a flow to create, or a change | [`NewFlow`], [`FlowUpdate`] |
//! | see events as they happen | [`EventSocket`] |
//! | keep a copy of the table in sync | [`Mirror`] |
//! | turn counters into traffic by source, zone, mark … | [`accounting`] |
//! | read `/proc/net/nf_conntrack` or the output of conntrack(8), on any system | [`proc`] |
//! | print flows as text, save lines, XML or JSON | [`mod@format`] |
//! | test a program without a kernel and without root | [`fake`](guide::cookbook#test-without-a-kernel) |
//! | read or write a setting such as `nf_conntrack_acct` | [`sysctl`] |
//! | encode and decode messages over a socket of your own | [`Message`], [`wire`], [`exchange`] |
//!
//! [`Flow`] is an owned flow. [`FlowRef`] is a view of the receive buffer that decodes on access and allocates nothing.
//! Both have the same methods, and so do the entries of a [`Mirror`]; the trait [`AnyFlow`] offers them to generic code.
//! An attribute that the kernel left out is `None`, never 0.
//!
//! # Iteration
//!
//! Dumps, event sockets, mirrors and line readers are iterators over owned values. Each also has `next_view`, which
//! lends a view and avoids the copy:
//!
//! ```no_run
//! # let mut client = ctnetlink::Client::open()?;
//! let mut dump = client.dump()?;
//! while let Some(flow) = dump.next_view()? {
//!     println!("{} {:?}", flow.original().source(), flow.timeout());
//! }
//! # Ok::<(), ctnetlink::Error>(())
//! ```
//!
//! Dropping a dump before its end aborts it, and the client can be used at once. The table goes on changing during a dump:
//! the kernel can report a flow twice, and if it resizes its hash table, it can leave flows out. Only a [`Mirror`] notices
//! that.
//!
//! # Change
//!
//! ```no_run
//! use ctnetlink::{Client, FlowUpdate, NewFlow, TcpState};
//!
//! let mut client = Client::open()?;
//! let flow = NewFlow::tcp("10.0.0.1:40000".parse()?, "192.0.2.1:80".parse()?, TcpState::ESTABLISHED);
//! client.create(&flow.timeout(300).dnat("10.0.0.8:8080".parse::<std::net::SocketAddr>()?))?;
//!
//! let report = client.update_matching(&"dport 993".parse()?, &FlowUpdate::new().mark(10))?;
//! println!("{report}");
//! let report = client.delete_matching(&"src 192.0.2.7 and not assured".parse()?)?;
//! println!("{report}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! An update changes only the attributes that were set on it; `mark(0)` sets the mark to 0. [`Client::delete`] removes the
//! flow of one key. Only [`Client::delete_all`] empties the table: a delete by a filter that matches every flow is refused.
//!
//! A [`FlowKey`] made from a flow contains the flow's identifier. If the flow has ended and its tuple belongs to another
//! flow with another identifier, a delete by that key fails with "not found". This does not protect a flow that was created
//! again at once: in 19,999 of 20,000 trials the kernel gave it the identifier of the flow before.
//!
//! # Watch
//!
//! ```no_run
//! use ctnetlink::{Event, EventGroups, EventSocket};
//!
//! for event in EventSocket::open(EventGroups::FLOWS)? {
//!     match event? {
//!         Event::New(new) => println!("{} begins", new.flow),
//!         Event::Destroy(end) => println!("{} ends", end.flow),
//!         Event::Overrun => println!("some events are missing here"),
//!         _ => {}
//!     }
//! }
//! # Ok::<(), ctnetlink::Error>(())
//! ```
//!
//! [`events`] explains loss, and how a [`Mirror`] recovers from it.
//!
//! # Errors
//!
//! Whatever can fail while talking to the kernel returns [`Error`]. Its [`kind`](Error::kind) is for `match`, its
//! [`errno`](Error::errno) is the number that the kernel returned, and its text names the operation, the cause and, if there
//! is one, the remedy. Parsers and encoders have smaller error types, which `?` converts into [`Error`].
//!
//! # Wait, stop, and async
//!
//! - The builder sets how long [`Iterator::next`] and `next_view` wait. `next_within` waits for the time that it is given,
//!   and `try_next` does not wait.
//! - A [`StopHandle`] ends the wait of an [`EventSocket`] or [`Mirror`], or a change by a filter. It may be used in another
//!   thread and in a signal handler. A signal alone ends no wait, so a program that stops on Ctrl-C needs a stop handle.
//! - Event sockets and mirrors are file descriptors ([`AsFd`](std::os::fd::AsFd)), so any event loop can wait for them.
//!   With the feature `tokio`, the module `tokio` has the same client, events and mirror as futures.
//!
//! # Permissions and settings
//!
//! Requests and events need CAP_NET_ADMIN in the user namespace that owns the network namespace. A [`Client`],
//! [`EventSocket`] or [`Mirror`] works in the namespace of the thread that opened it, or in the [`NetworkNamespace`]
//! given to its builder.
//!
//! The kernel decides when a flow begins which data it keeps for it. [`sysctl`] reads and writes these settings:
//!
//! | setting | default | effect |
//! |---|---|---|
//! | [`sysctl::ACCOUNTING`] | 0 | at 0, new flows have no counters |
//! | [`sysctl::TIMESTAMP`] | 0 | at 0, new flows have no start time |
//! | [`sysctl::EVENTS`] | 2 | at 2, flows that began while nobody listened send no events; at 0, no flow does |
//! | [`sysctl::MAX`] | by memory | if it is reached, new connections are dropped and creating flows fails |
//!
//! # Layers
//!
//! ```text
//! error ← wire ← model ← filter ← request ← exchange ← client ← events ← tokio
//!                  ↑
//!      proc ───────┤   parses lines; knows no netlink
//!      format ─────┘   prints and reads text; knows no socket
//! ```
//!
//! An arrow points to the layer that is imported. Only `client`, `events` and `tokio` open sockets; everything else
//! builds on every operating system. [`guide::design`] has the reasons.
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `client` | yes | sockets, on Linux |
//! | `packet-core` | yes | the traits of netlink-packet-core on [`Message`], [`Flow`] and [`Expectation`] |
//! | `serde` | no | `Serialize` and `Deserialize` on the values |
//! | `tokio` | no | the same client, events and mirror for tokio |
//! | `json` | no | JSON in [`mod@format`]; enables `serde` |
//! | `fake` | no | a kernel in memory for tests, on every operating system |
//!
//! # Examples
//!
//! | `cargo run --example …` | shows |
//! |---|---|
//! | `demo` | a private namespace, filled and listed: start with this one |
//! | `list`, `create`, `mark`, `delete` | flows, by a filter or a key |
//! | `expectations`, `stats` | expectations; table size and counts of each CPU |
//! | `events`, `nat_log`, `mirror` | events, a log of translated flows, a copy of the table |
//! | `tokio`, `netlink_proto` | asynchronous programs |
//! | `proc` | a summary of `/proc/net/nf_conntrack` |
//! | `conntrack` | a drop-in for conntrack(8) |

// docs.rs shows which feature and which system each item needs.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(all(target_os = "linux", feature = "client")),
    allow(rustdoc::broken_intra_doc_links, reason = "without sockets, the items that some links lead to do not exist")
)]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![warn(clippy::allow_attributes_without_reason)]

pub mod accounting;
#[cfg(any(all(target_os = "linux", feature = "client"), feature = "fake"))]
mod client;
mod error;
pub mod events;
#[cfg_attr(
    not(any(all(target_os = "linux", feature = "client"), feature = "fake")),
    allow(dead_code, unused_imports, reason = "parts of it serve the client alone")
)]
pub mod exchange;
#[cfg(feature = "fake")]
pub mod fake;
pub mod filter;
pub mod format;
#[cfg(any(doc, doctest))]
pub mod guide;
mod macros;
mod message;
mod model;
#[cfg(feature = "packet-core")]
mod packet_core;
pub mod proc;
pub mod request;
#[cfg(feature = "serde")]
mod serde;
#[cfg(all(target_os = "linux", feature = "tokio"))]
pub mod tokio;
pub mod wire;

#[cfg(any(all(target_os = "linux", feature = "client"), feature = "fake"))]
#[doc(inline)]
pub use client::*;
#[doc(inline)]
pub use error::{
    AttributePath, DecodeError, DecodeErrorKind, EncodeError, Errno, Error, ErrorKind, KernelError, Operation,
    ParseError,
};
#[cfg(all(target_os = "linux", feature = "client"))]
#[doc(inline)]
pub use events::listener::EventSocketBuilder;
#[doc(inline)]
pub use events::{
    event::{Event, EventGroups, EventRef},
    table::{Change, ChangeKind, FlowTable, TableEntry},
};
#[cfg(any(all(target_os = "linux", feature = "client"), feature = "fake"))]
#[doc(inline)]
pub use events::{mirror::Mirror, socket::EventSocket};
#[doc(inline)]
pub use exchange::batch::{BatchOutcome, BatchReport};
#[doc(inline)]
pub use filter::{addresses::Prefix, algebra::Filter};
#[doc(inline)]
pub use message::Message;
#[doc(inline)]
pub use model::*;
#[doc(inline)]
pub use request::{change::FlowUpdate, create::NewFlow};
