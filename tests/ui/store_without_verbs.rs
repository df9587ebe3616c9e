use scheduler_core::store::JobStore;

#[derive(Debug)]
struct Wrapper;

impl JobStore for Wrapper {}

fn main() {}
