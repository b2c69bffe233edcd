//! Which host builds which image.
//!
//! A host builds one image at a time, and an image that failed on one host goes to one other host. A value without threads or
//! processes; [`super::run`] asks it.

use std::collections::VecDeque;

/// How many hosts may try an image.
const TRIES: usize = 2;

/// An image that waits for a host, or that a host builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub image: String,
    /// The hosts that have it, when it is only to be fetched; `None` when any host can build it.
    pub at: Option<Vec<usize>>,
    tried: Vec<usize>,
}

impl Job {
    pub fn new(image: impl Into<String>, at: Option<Vec<usize>>) -> Self {
        Self { image: image.into(), at, tried: Vec::new() }
    }

    fn suits(&self, host: usize) -> bool {
        !self.tried.contains(&host) && self.tried.len() < TRIES && self.at.as_ref().is_none_or(|at| at.contains(&host))
    }
}

/// What a host does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    Take(Job),
    /// Another host may fail and leave its image.
    Wait,
    End,
}

/// What becomes of an image that failed.
#[derive(Debug, PartialEq, Eq)]
pub enum After {
    /// Another host will try it.
    Elsewhere,
    Lost,
}

#[derive(Debug)]
pub struct Schedule {
    waiting: VecDeque<Job>,
    under_way: usize,
    up: Vec<bool>,
    stopped: bool,
}

impl Schedule {
    pub fn new(jobs: impl IntoIterator<Item = Job>, hosts: usize) -> Self {
        Self { waiting: jobs.into_iter().collect(), under_way: 0, up: vec![true; hosts], stopped: false }
    }

    pub fn next(&mut self, host: usize) -> Next {
        if self.stopped || !self.up[host] {
            return Next::End;
        }
        match self.waiting.iter().position(|job| job.suits(host)) {
            Some(index) => {
                self.under_way += 1;
                // The index was just found.
                self.waiting.remove(index).map_or(Next::End, Next::Take)
            }
            None if self.under_way > 0 => Next::Wait,
            None => Next::End,
        }
    }

    pub fn done(&mut self) {
        self.under_way -= 1;
    }

    /// `elsewhere`: whether another host could do better.
    pub fn failed(&mut self, mut job: Job, host: usize, elsewhere: bool) -> After {
        self.under_way -= 1;
        job.tried.push(host);
        if !elsewhere || self.stopped || !(0..self.up.len()).any(|other| self.up[other] && job.suits(other)) {
            return After::Lost;
        }
        self.waiting.push_back(job);
        After::Elsewhere
    }

    /// This host takes no further image.
    pub fn down(&mut self, host: usize) {
        self.up[host] = false;
    }

    /// No host takes a further image.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// The images that no host took.
    pub fn left(self) -> impl Iterator<Item = String> {
        self.waiting.into_iter().map(|job| job.image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(images: &[&str], hosts: usize) -> Schedule {
        Schedule::new(images.iter().map(|image| Job::new(*image, None)), hosts)
    }

    fn take(schedule: &mut Schedule, host: usize) -> Job {
        match schedule.next(host) {
            Next::Take(job) => job,
            other => panic!("host {host}: {other:?}"),
        }
    }

    #[test]
    fn images_are_spread_over_the_hosts() {
        let mut schedule = schedule(&["a", "b", "c"], 2);
        assert_eq!(take(&mut schedule, 0).image, "a");
        assert_eq!(take(&mut schedule, 1).image, "b");
        schedule.done();
        assert_eq!(take(&mut schedule, 1).image, "c");
        assert_eq!(schedule.next(1), Next::Wait);
        schedule.done();
        schedule.done();
        assert_eq!(schedule.next(0), Next::End);
    }

    #[test]
    fn a_failed_image_goes_to_another_host_once() {
        let mut schedule = schedule(&["a"], 3);
        let job = take(&mut schedule, 0);
        assert_eq!(schedule.failed(job, 0, true), After::Elsewhere);
        assert_eq!(schedule.next(0), Next::End, "not to the same host again");
        let job = take(&mut schedule, 2);
        assert_eq!(schedule.failed(job, 2, true), After::Lost, "host 1 is not asked a third time");
        assert_eq!(schedule.left().count(), 0);
    }

    #[test]
    fn a_host_that_is_down_leaves_its_images_to_the_others() {
        let mut schedule = schedule(&["a", "b"], 2);
        let job = take(&mut schedule, 0);
        schedule.down(0);
        assert_eq!(schedule.failed(job, 0, true), After::Elsewhere);
        assert_eq!(schedule.next(0), Next::End);
        assert_eq!(take(&mut schedule, 1).image, "b");
        schedule.done();
        let job = take(&mut schedule, 1);
        schedule.down(1);
        assert_eq!(schedule.failed(job, 1, true), After::Lost);
    }

    #[test]
    fn without_any_host_the_images_are_left() {
        let mut schedule = schedule(&["a", "b"], 1);
        let job = take(&mut schedule, 0);
        schedule.down(0);
        assert_eq!(schedule.failed(job, 0, true), After::Lost);
        assert_eq!(schedule.next(0), Next::End);
        assert_eq!(schedule.left().collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn what_no_host_can_mend_is_not_tried_again() {
        let mut schedule = schedule(&["a", "b"], 2);
        let job = take(&mut schedule, 0);
        assert_eq!(schedule.failed(job, 0, false), After::Lost);
        schedule.stop();
        assert_eq!(schedule.next(1), Next::End);
    }

    #[test]
    fn an_image_is_fetched_from_where_it_is() {
        let mut schedule = Schedule::new([Job::new("a", Some(vec![1]))], 2);
        assert_eq!(schedule.next(0), Next::End);
        let job = take(&mut schedule, 1);
        assert_eq!(schedule.next(0), Next::Wait);
        assert_eq!(schedule.failed(job, 1, true), After::Lost);
    }
}
