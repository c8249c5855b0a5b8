//! Programs on ctnetlink's public API.
//!
//! Each program has a module here, which holds its logic, and a binary of the same name in `src/bin`, which only reads
//! the command line and calls the module. `program` and `signals` serve all of them. Protocols are sans-I/O: bytes and
//! time in, bytes and actions out, so that tests and fuzz targets reach every state without a socket.

pub mod conntrackd;
pub mod ipfix;
pub mod program;
pub mod signals;
pub mod top;
