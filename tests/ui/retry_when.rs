use scheduler_core::prelude::*;

fn of_text(_: &String) -> bool {
    true
}

fn of_value(_: std::io::Error) -> bool {
    true
}

fn answers_text(_: &std::io::Error) -> String {
    String::new()
}

#[job(retry(when = of_text))]
async fn another_error() -> std::io::Result<()> {
    Ok(())
}

#[job(retry(when = of_value))]
async fn takes_the_error() -> std::io::Result<()> {
    Ok(())
}

#[job(blocking, retry(when = answers_text))]
fn no_answer() -> std::io::Result<()> {
    Ok(())
}

#[job(retry(when = nowhere::is_transient))]
async fn unknown() -> std::io::Result<()> {
    Ok(())
}

#[job(retry(when = of_text))]
async fn no_result() -> u32 {
    7
}

fn main() {}
