//! Requests that reach the flow they name, and no other.
//!
//! The kernel keeps both tuples of a flow in one table and finds a flow by either, whichever attribute of a request
//! carries the tuple. A zone is a number and the directions that it holds for; in the other direction the number is 0.
//! An entry of the table answers a request if the tuples are equal and if flow and request have the same number *in the
//! direction of the entry*. The kernel looks among the entries of the request's original number first, then among those of
//! its reply number, and takes what it finds first; it compares the identifier in deletes only.
//!
//! So a flow's original tuple may also be the reply tuple of another flow, if one of them is translated or has a zone on
//! one direction. Three rules keep them apart:
//!
//! - **A key in the default zone is sent with a zone on the opposite direction** ([`aimed`]). The number of its own
//!   direction is then 0 as before, and entries of the other direction need that zone to answer. One request suffices.
//! - A key in another zone is sent as it is, and in its second form if another flow answers ([`lookups`]). Every form
//!   includes the flow that is meant, so "not found" is final.
//! - Where a request cannot carry the identifier, or has none, the flow is looked up and compared first.

use super::{Client, Transport};
use crate::{
    error::{EncodeError, Errno, Error, KernelError, Operation},
    exchange::Connection,
    model::{Direction, Family, Flow, FlowKey, Protocol, Tuple},
    request::{DeleteFlow, DumpFlows, FlowUpdate, GetFlow, Request, RequestHeader, UpdateFlow},
    wire::Encoder,
};
