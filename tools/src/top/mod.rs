//! A live screen of the busiest sources, destinations, services and flows.
//!
//! [`Board`] turns the table of a mirror and the report of an accountant into rows. [`App`] holds the choices of the
//! user and reacts to keys. [`draw`] paints both. They know neither a terminal nor a socket; [`run`] connects them.

mod app;
mod board;
mod run;
mod screen;

pub use app::{App, Reaction};
pub use board::{Board, FlowId, GroupBy, Load, Row, SortBy, flow_id};
pub use run::{Configuration, in_terminal, run};
pub use screen::draw;
