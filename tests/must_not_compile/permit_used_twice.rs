//! A permit is good for one statement.

use passgate_policy::{Governed, Permit};

fn twice<P: Governed + Clone>(permit: Permit, plan: P) {
    let _ = permit.discharge(plan.clone(), |plan, _| Ok::<P, ()>(plan), Ok::<P, ()>);
    let _ = permit.discharge(plan, |plan, _| Ok::<P, ()>(plan), Ok::<P, ()>);
}

fn copied(permit: &Permit) -> Permit {
    permit.clone()
}

fn main() {}
