use scheduler_core::host::{Host, JobQueue};

fn main() {
    Host::builder().queue("mails", JobQueue::bounded(10));
}
