use scheduler_core::host::JobQueue;

fn main() {
    let queue = JobQueue::bounded(10).build();
    queue.concurrency(4);
}
