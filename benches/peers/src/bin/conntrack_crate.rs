//! Dumps the table with the crate `conntrack`, which returns all flows in one list.

use conntrack::{Conntrack, Error};

fn main() -> Result<(), Error> {
    ctnetlink_peers::report(|| Ok(Conntrack::connect()?.dump()?.len()))
}
