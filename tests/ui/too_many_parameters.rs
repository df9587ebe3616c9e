use scheduler_core::prelude::*;

#[job]
#[allow(clippy::too_many_arguments)]
async fn many(
    _a: JobContext,
    _b: JobContext,
    _c: JobContext,
    _d: JobContext,
    _e: JobContext,
    _f: JobContext,
    _g: JobContext,
    _h: JobContext,
    _i: JobContext,
) {
}

fn main() {}
