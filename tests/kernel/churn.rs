//! Flows that begin, change and end at random.

use ctnetlink::{
    Client, FlowKey, FlowUpdate, NewFlow,
    request::{DeleteFlow, UpdateFlow},
};

use crate::samples::{tcp_flow, udp_flow, udp6_flow};

/// Pseudo-random numbers, the same in each run.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u16) -> u16 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u16 % sides
    }
}

/// Creates, changes and deletes random flows with numbers up to `flows`. Some operations fail, because their flow already
/// exists or does not exist.
pub fn churn(client: &mut Client, dice: &mut Dice, flows: u16, operations: usize) {
    let mut batch = client.batch();
    for _ in 0..operations {
        let new = flow(1 + dice.roll(flows));
        let key = FlowKey::original(new.original);
        match dice.roll(8) {
            0..4 => {
                let mut new = new;
                // Some time out soon.
                new.timeout = if dice.roll(4) == 0 { 1 } else { 600 };
                batch.push(&new).unwrap();
            }
            4..6 => batch.push(&UpdateFlow::new(key, &FlowUpdate::new().mark(dice.roll(3).into()))).unwrap(),
            _ => batch.push(&DeleteFlow::new(key)).unwrap(),
        }
    }
    batch.finish().unwrap();
}

fn flow(number: u16) -> NewFlow {
    match number % 3 {
        0 => tcp_flow(number),
        1 => udp_flow(number),
        _ => udp6_flow(number),
    }
}
