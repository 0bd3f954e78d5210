//! What a front does for a request.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::client::Client;
use crate::nap;

const MS: Duration = Duration::from_millis(1);

/// What somebody else is asked to do.
type Job = (String, oneshot::Sender<()>);

/// The front, with those who work for it.
pub struct Front {
    client: Client,
    /// Of a worker that was there before the first request.
    jobs: mpsc::Sender<Job>,
    /// Workers that are made by whoever finds none idle, and stay.
    idle: Mutex<Vec<mpsc::Sender<Job>>>,
}

impl Front {
    pub fn new(client: Client) -> Arc<Self> {
        let (jobs, mut todo) = mpsc::channel::<Job>(64);
        let caller = client.clone();
        tokio::spawn(async move {
            while let Some((id, done)) = todo.recv().await {
                let caller = caller.clone();
                caller.call(&id, "pool").await;
                let _ = done.send(());
            }
        });
        let idle = Mutex::default();
        Arc::new(Self { client, jobs, idle })
    }

    /// Does what a request with that id asks for. Returns whether there is such a shape.
    pub async fn serve(self: &Arc<Self>, id: &str, shape: &str) -> bool {
        // As little as there can be, for who measures.
        if shape == "hello" {
            self.client.call(id, "hello").await;
            return true;
        }
        nap(3 * MS).await;
        match shape {
            "direct" => {
                self.client.call(id, "direct").await;
                nap(2 * MS).await;
                self.client.call(id, "again").await;
            }
            "one" => self.client.call(id, "one").await,
            "fan" => {
                let mut branches = tokio::task::JoinSet::new();
                for branch in 0..3 {
                    let (front, id) = (self.clone(), id.to_owned());
                    branches.spawn(async move {
                        nap(3 * MS).await;
                        front.client.call(&id, &format!("fan{branch}")).await;
                    });
                }
                branches.join_all().await;
            }
            "join" => {
                let call = |what| self.client.call(id, what);
                tokio::join!(call("left"), call("middle"), call("right"));
            }
            "nested" => nested(self.clone(), id.to_owned(), 4).await,
            "pool" => {
                let (done, is_done) = oneshot::channel();
                let _ = self.jobs.send((id.to_owned(), done)).await;
                let _ = is_done.await;
            }
            "lazy" => self.lazily(id).await,
            "late" => {
                let (front, id) = (self.clone(), id.to_owned());
                tokio::spawn(async move {
                    nap(60 * MS).await;
                    front.client.call(&id, "late").await;
                });
            }
            _ => return false,
        }
        nap(2 * MS).await;
        true
    }

    async fn lazily(self: &Arc<Self>, id: &str) {
        let (done, is_done) = oneshot::channel();
        let job = (id.to_owned(), done);
        let worker = self.with_idle(Vec::pop);
        let jobs = worker.unwrap_or_else(|| self.worker());
        let _ = jobs.send(job).await;
        let _ = is_done.await;
    }

    fn with_idle<T>(&self, act: impl FnOnce(&mut Vec<mpsc::Sender<Job>>) -> T) -> T {
        act(&mut self.idle.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn worker(self: &Arc<Self>) -> mpsc::Sender<Job> {
        let (jobs, mut todo) = mpsc::channel::<Job>(1);
        let (front, own) = (self.clone(), jobs.clone());
        tokio::spawn(async move {
            while let Some((id, done)) = todo.recv().await {
                front.client.call(&id, "lazy").await;
                front.with_idle(|idle| idle.push(own.clone()));
                let _ = done.send(());
            }
        });
        jobs
    }
}

/// A task in a task, some of them deep, which makes one call.
fn nested(
    front: Arc<Front>,
    id: String,
    depth: u32,
) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        if depth == 0 {
            nap(2 * MS).await;
            return front.client.call(&id, "nested").await;
        }
        let _ = tokio::spawn(nested(front, id, depth - 1)).await;
    })
}
