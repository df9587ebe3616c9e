use scheduler_core::prelude::*;

struct Opaque;

#[job(output)]
async fn opaque() -> Opaque {
    Opaque
}

#[job(output)]
async fn opaque_result() -> JobResult<Opaque> {
    Ok(Opaque)
}

#[job]
async fn forgotten() -> JobResult<u32> {
    Ok(1)
}

fn main() {}
