//! The table through the crate `conntrack`, which gives a list of all flows at the end.

use conntrack::{Conntrack, Error};

fn main() -> Result<(), Error> {
    ctnetlink_peers::report(|| Ok(Conntrack::connect()?.dump()?.len()))
}
