use scheduler_core::prelude::*;

#[job]
async fn text() -> String {
    String::new()
}

#[job]
async fn maybe() -> Option<()> {
    None
}

#[job]
async fn value() -> Result<u32, std::io::Error> {
    Ok(5)
}

#[job]
async fn text_error() -> Result<(), String> {
    Ok(())
}

struct Mine;

#[job]
async fn own_error() -> Result<(), Mine> {
    Ok(())
}

#[job(blocking)]
fn blocks() -> bool {
    true
}

fn main() {}
