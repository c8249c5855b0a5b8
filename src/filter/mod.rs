//! Predicates over flows that give the same answer in the kernel, in a socket and in userspace.
//!
//! A [`Filter`] is built from constructors and operators, or read from text. It runs in three places:
//!
//! - [`Filter::matches`] evaluates it in userspace, on any flow.
//! - [`Filter::plan`] selects what the kernel can evaluate in a dump or a flush. The kernel is never sent a comparison
//!   that it is known to get wrong, and userspace evaluates the whole filter again on every flow that a dump returns.
//! - [`SocketFilter`] compiles it into a classic BPF program, which drops events before they are queued.
//!
//! # Example
//!
//! ```
//! use ctnetlink::{Filter, Prefix, Protocol, filter::Capabilities};
//!
//! let network: Prefix = "10.0.0.0/8".parse()?;
//! let built = Filter::protocol(Protocol::TCP) & Filter::source(network) & !Filter::assured();
//! let written: Filter = "proto tcp and src 10.0.0.0/8 and not assured".parse()?;
//! assert_eq!(built, written);
//!
//! let plan = written.plan(&Capabilities::linux(6, 12));
//! assert_eq!(plan.dumps()[0].to_string(), "ipv4, protocol tcp, status !ASSURED");
//! assert!(!plan.is_exact()); // Userspace compares the prefix.
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Meaning
//!
//! **Absent attributes.** A message need not contain every attribute of a flow: events contain counters only at the
//! end of the flow, and an offloaded flow has no timeout. A term on an absent attribute is false, and its negation is
//! true: for a flow without a timeout, `timeout >= 30` is false and `not timeout < 30` is true. Two attributes have a
//! default instead: a flow without a mark has mark 0, and a flow without zones is in zone 0. There is no third truth
//! value, so `not (a and b)` always equals `not a or not b`.
//!
//! **Zones.** A filter without a term on zones matches flows of all zones, and a delete or an update by it changes flows
//! of all zones. `zone 0` selects the flows outside any zone.
//!
//! **Directions.** `src`, `dst`, `sport` and `dport` look at the original direction, as the initiator sent it. The terms
//! that start with `reply-` look at the reply direction, in which source and destination are swapped and translations
//! are visible: for a connection that is translated to a backend, `reply-src` is the backend.
//!
//! # The language
//!
//! A filter prints as text, and the text reads back as an equal filter. Most keywords are known from conntrack(8) and
//! tcpdump(8).
//!
//! ```text
//! proto tcp and dport 22 and not assured
//! src 10.0.0.0/8 or mark 0x10/0xff
//! (dst-nat 192.0.2.7 port 80 or label 3) and bytes >= 1000000
//! ```
//!
//! ## Grammar
//!
//! ```text
//! filter      = conjunction { "or" conjunction }
//! conjunction = factor { "and" factor }
//! factor      = "not" factor | "(" filter ")" | term
//! ```
//!
//! `not` binds tighter than `and`, and `and` binds tighter than `or`: `not a and b or c` means `((not a) and b) or c`.
//! Parentheses and `not` may be nested 64 levels deep. Keywords and the names of protocols, states and status bits may be
//! in any case. White space, line ends included, separates words. A term is one of these:
//!
//! | term | matches flows |
//! |---|---|
//! | `any`, `none` | every flow, no flow |
//! | `assured`, `unreplied`, `offloaded` | with that status |
//! | *address-field* *prefix*{`,`*prefix*} | with an address in one of the prefixes |
//! | *number-field* *values* | with a number among the values |
//! | `state` *name*{`,`*name*} | whose TCP, SCTP or DCCP state has one of these names |
//! | `status` *bit*{`,`*bit*} | with all of these bits; `!` before a bit requires that it is not set |
//! | `mark` *mark*{`,`*mark*} | with one of these marks: *value*, or *value*`/`*mask* |
//! | `label` *number*{`,`*number*} | with all of these labels |
//! | `any-label` *number*{`,`*number*} | with one of these labels |
//! | `helper` *name*{`,`*name*} | with one of these helpers |
//! | `src-nat` \[*prefix*{`,`*prefix*}] \[`port` *values*] | whose source is translated, to there |
//! | `dst-nat` \[*prefix*{`,`*prefix*}] \[`port` *values*] | whose destination is translated, to there |
//! | `any-nat` \[*prefix*{`,`*prefix*}] \[`port` *values*] | whose source or destination is translated, to there |
//! | `tuple` *tuple*{`,` *tuple*} | with one of these original tuples, in any zone |
//!
//! An equals sign may stand before the values of any term: `dport = 22`.
//!
//! ## Address fields
//!
//! | keyword | address | constructor |
//! |---|---|---|
//! | `src`, `dst` | source and destination of the original direction | [`source`](Filter::source), [`destination`](Filter::destination) |
//! | `reply-src`, `reply-dst` | source and destination of the reply direction | [`reply_source`](Filter::reply_source), [`reply_destination`](Filter::reply_destination) |
//! | `addr` | any of the four | [`any_address`](Filter::any_address) |
//!
//! A *prefix* is an IPv4 or IPv6 address, or an address and a prefix length: `10.0.0.0/8`. Both families may be mixed:
//! `src 10.0.0.0/8,fd00::/8`.
//!
//! ## Number fields
//!
//! | keyword | number |
//! |---|---|
//! | `family`, `proto` | layer 3 protocol: `ipv4`, `ipv6`; layer 4 protocol: `tcp`, `udp`, … |
//! | `sport`, `dport` | ports of the original direction |
//! | `reply-port-src`, `reply-port-dst` | ports of the reply direction |
//! | `port` | any of the four ports |
//! | `srckey`, `dstkey`, `reply-key-src`, `reply-key-dst` | GRE keys |
//! | `icmp-type`, `icmp-code`, `icmp-id` | fields of an ICMP or ICMPv6 request |
//! | `tcp-state`, `sctp-state`, `dccp-state` | state of one protocol: `ESTABLISHED`, … |
//! | `role` | role of a DCCP initiator: `client`, `server` |
//! | `orig-vtag`, `reply-vtag` | SCTP verification tags |
//! | `zone` | zone, if it is the same in both directions |
//! | `orig-zone`, `reply-zone`, `any-zone` | zone of one direction, of either direction |
//! | `id` | identifier |
//! | `timeout`, `age` | seconds until the flow expires; seconds since it started |
//! | `packets`, `bytes` | counters of both directions together |
//! | `orig-packets`, `orig-bytes`, `reply-packets`, `reply-bytes` | counters of one direction |
//!
//! *Values* are a list of numbers and ranges, such as `80,443,8000-8099`, or one comparison with `=`, `<`, `<=`, `>` or
//! `>=`, such as `timeout < 30`. A number is decimal, or hexadecimal after `0x`. A value that has a name may be written
//! as either: `proto tcp` is `proto 6`. Seconds may have a unit, `s`, `m`, `h` or `d`: `age >= 2h`.
//!
//! ## Names
//!
//! The name of a helper is a word, or text in double quotes in which a backslash protects the next character:
//! `helper "a name"`. Names of states and status bits are the kernel's: `SYN_SENT`, `SEEN_REPLY`.
//!
//! ## Tuples
//!
//! ```text
//! tuple    = protocol endpoint endpoint [ query | "none" ]
//! endpoint = address | IPv4-address ":" port | "[" IPv6-address "]" ":" port
//! query    = type "/" code "/" identifier
//! ```
//!
//! A tuple is written as [`Tuple`](crate::Tuple) prints it, but without a zone. It consists of everything that its protocol
//! has: ports for TCP, UDP, UDP-Lite, SCTP and DCCP, keys (written like ports) for GRE, a query for ICMP and ICMPv6, and
//! only addresses for other protocols.
//!
//! ```text
//! tuple tcp 10.0.0.1:40000 10.0.0.2:22, udp [fd00::1]:53 [fd00::2]:53
//! tuple icmp 10.0.0.1 10.0.0.2 8/0/77
//! ```
//!
//! `none` states that a tuple lacks the ports, keys or query of its protocol. No flow of the kernel has such a tuple.

pub(crate) mod addresses;
pub(crate) mod algebra;
mod constructors;
mod evaluate;
mod expression;
mod fields;
mod kernel_filter;
mod lowering;
mod plan;
mod sets;
mod socket;
mod text;

pub use addresses::AddressSet;
pub(crate) use addresses::Prefix;
pub(crate) use algebra::Filter;
pub use fields::Translation;
pub use kernel_filter::KernelFilter;
pub use plan::{Capabilities, Plan};
pub use sets::{Number, NumberSet};
pub use socket::{Instruction, SocketFilter};
pub use text::ParseFilterError;
