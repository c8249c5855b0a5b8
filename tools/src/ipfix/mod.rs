//! NAT events and finished flows as IPFIX (RFC 7011, RFC 8158) over UDP.
//!
//! [`Exporter`] turns events into messages, without sockets: [`Observation`] selects a template and writes the record.
//! [`run`] connects it to the kernel and to collectors.
//!
//! | template | records |
//! |---|---|
//! | 256, 258 | a translation began (NAT44, NAT66) |
//! | 257, 259 | a translation ended, with packets and bytes of both directions |
//! | 260, 261 | a flow without translation ended (IPv4, IPv6) |
//! | 262, 263, 265, 266 | the ends of flows that the kernel did not count |
//! | 264 | options: messages and records that were sent, and events that were lost |
//!
//! Linux translates within a family only, so there are no NAT64 events. It reports sessions, so there are no bindings (BIB).

mod drops;
mod exporter;
mod record;
mod run;
mod template;

pub use drops::dropped_events;
pub use exporter::{Exporter, LARGEST_MESSAGE, LEAST_MESSAGE, Moment, Settings, Totals};
pub use record::Observation;
pub use run::{Configuration, Summary, run};
pub use template::{Field, STATISTICS, STATISTICS_FIELDS, TEMPLATES, Template, Version};
