use scheduler_core::prelude::*;
use std::rc::Rc;

#[job]
async fn guard() {
    let lock = std::sync::Mutex::new(5);
    let guard = lock.lock().unwrap();
    std::future::ready(()).await;
    drop(guard);
}

#[job(blocking)]
fn context_rc(_value: Rc<u32>) {}

fn main() {}
