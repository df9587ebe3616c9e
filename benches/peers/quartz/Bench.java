import java.io.*;
import java.nio.file.*;
import java.time.Instant;
import java.util.*;
import java.util.concurrent.atomic.*;
import org.quartz.*;
import org.quartz.impl.StdSchedulerFactory;

/** One workload, carried out once by Quartz with its store in memory: {@code Bench W1 n=100000 threads=10}. Prints one line of JSON. */
public class Bench {
    static final Map<String, Long> opts = new HashMap<>();
    static final AtomicInteger done = new AtomicInteger();
    static volatile int target = Integer.MAX_VALUE;
    static int[] late = new int[0];

    static long nowMicros() {
        Instant i = Instant.now();
        return i.getEpochSecond() * 1_000_000 + i.getNano() / 1000;
    }

    public static class NoOp implements Job {
        public void execute(JobExecutionContext c) {
            int k = done.incrementAndGet();
            if (k == target) synchronized (Bench.class) { Bench.class.notifyAll(); }
        }
    }

    public static class Timed implements Job {
        public void execute(JobExecutionContext c) {
            long l = nowMicros() - c.getScheduledFireTime().getTime() * 1000;
            int k = done.getAndIncrement();
            if (k < late.length) late[k] = (int) Math.min(l, Integer.MAX_VALUE);
        }
    }

    static long opt(String key, long def) { return opts.getOrDefault(key, def); }

    static Scheduler scheduler() throws Exception {
        Properties p = new Properties();
        p.put("org.quartz.scheduler.instanceName", "bench");
        p.put("org.quartz.scheduler.skipUpdateCheck", "true");
        p.put("org.quartz.scheduler.idleWaitTime", "" + opt("idle", 30000));
        p.put("org.quartz.scheduler.batchTriggerAcquisitionMaxCount", "" + opt("batch", 1));
        p.put("org.quartz.threadPool.class", "org.quartz.simpl.SimpleThreadPool");
        p.put("org.quartz.threadPool.threadCount", "" + opt("threads", 10));
        p.put("org.quartz.jobStore.class", "org.quartz.simpl.RAMJobStore");
        p.put("org.quartz.jobStore.misfireThreshold", "60000");
        if (opt("simplefactory", 0) == 1) p.put("org.quartz.scheduler.jobFactory.class", "org.quartz.simpl.SimpleJobFactory");
        return new StdSchedulerFactory(p).getScheduler();
    }

    static JobDetail job(Class<? extends Job> c, String g, int i) { return JobBuilder.newJob(c).withIdentity("j" + i, g).build(); }

    static Trigger once(String g, int i, long at) {
        return TriggerBuilder.newTrigger().withIdentity("t" + i, g).startAt(new Date(at)).build();
    }

    static void addFar(Scheduler s, Class<? extends Job> c, String g, int n) throws Exception {
        long base = System.currentTimeMillis() + 3_600_000;
        for (int i = 0; i < n; i++) s.scheduleJob(job(c, g, i), once(g, i, base + i));
    }

    static long rssKb() throws IOException {
        for (String l : Files.readAllLines(Path.of("/proc/self/status")))
            if (l.startsWith("VmRSS")) return Long.parseLong(l.replaceAll("\\D", ""));
        return 0;
    }

    static long heapKb() throws Exception {
        for (int i = 0; i < 3; i++) { System.gc(); Thread.sleep(200); }
        Runtime r = Runtime.getRuntime();
        return (r.totalMemory() - r.freeMemory()) / 1024;
    }

    static double cpu() {
        return ((com.sun.management.OperatingSystemMXBean) java.lang.management.ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime() / 1e9;
    }

    static String lateness(int count) {
        int[] a = Arrays.copyOf(late, Math.min(count, late.length));
        Arrays.sort(a);
        if (a.length == 0) return "\"samples\":0";
        int last = a.length - 1;
        return String.format("\"min_ms\":%.3f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f", a[0] / 1e3, a[last / 2] / 1e3,
                a[(int) (last * 0.99)] / 1e3, a[last] / 1e3);
    }

    static void out(String rest) { System.out.println("{" + rest + "}"); }

    static void w1(Scheduler s) throws Exception {
        int n = (int) opt("n", 100_000);
        long due = System.currentTimeMillis();
        for (int i = 0; i < n; i++) s.scheduleJob(job(NoOp.class, "g", i), once("g", i, due));
        target = n;
        double c = cpu();
        long t = System.nanoTime();
        s.start();
        synchronized (Bench.class) { while (done.get() < n) Bench.class.wait(100); }
        double secs = (System.nanoTime() - t) / 1e9;
        out(String.format("\"per_s\":%.0f,\"lost\":0,\"twice\":%d,\"cpu_us_per_fire\":%.2f", n / secs, done.get() - n, (cpu() - c) * 1e6 / n));
    }

    static void w2(Scheduler s) throws Exception {
        int k = (int) opt("k", 1000), seconds = (int) opt("seconds", 20);
        late = new int[k * (seconds + 1)];
        long t0 = (System.currentTimeMillis() / 1000 + 4) * 1000 + k / 50;
        for (int i = 0; i < k; i++) {
            long at = opt("burst", 0) == 1 ? t0 : t0 + (long) i * 1000 / k;
            Trigger t = TriggerBuilder.newTrigger().withIdentity("t" + i, "g").startAt(new Date(at))
                .withSchedule(SimpleScheduleBuilder.simpleSchedule().withIntervalInMilliseconds(1000).repeatForever()).build();
            s.scheduleJob(job(Timed.class, "g", i), t);
        }
        long ready = System.currentTimeMillis();
        if (ready > t0 - 100) throw new IllegalStateException("set-up too slow by " + (ready - t0));
        s.start();
        Thread.sleep(t0 - System.currentTimeMillis());
        double c = cpu();
        Thread.sleep(Math.max(0, t0 + seconds * 1000L - System.currentTimeMillis()));
        int fires = done.get();
        double used = cpu() - c;
        long expected = (long) k * seconds;
        out(String.format("\"achieved\":%.4f,\"cpu_s\":%.2f,\"cpu_us_per_fire\":%.1f,%s", (double) fires / expected, used,
            used * 1e6 / Math.max(1, fires), lateness(fires)));
    }

    static void w3(Scheduler s) throws Exception {
        int n = 100;
        late = new int[n];
        addFar(s, NoOp.class, "far", (int) opt("far", 0));
        s.start();
        Thread.sleep(2000);
        Random r = new Random(opt("seed", System.nanoTime()));
        long base = System.currentTimeMillis() + 500;
        for (int i = 0; i < n; i++) s.scheduleJob(job(Timed.class, "g", i), once("g", i, base + r.nextInt(10_000)));
        Thread.sleep(base + 10_500 - System.currentTimeMillis());
        out(String.format("\"fired\":%d,%s", done.get(), lateness(done.get())));
    }

    static void w4(Scheduler s) throws Exception {
        int n = (int) opt("n", 100_000);
        s.start();
        long heap0 = heapKb(), rss0 = rssKb(), t = System.nanoTime();
        addFar(s, NoOp.class, "one", n);
        double one = (System.nanoTime() - t) / 1e9;
        long heap1 = heapKb(), rss1 = rssKb();
        long base = System.currentTimeMillis() + 3_600_000;
        t = System.nanoTime();
        Map<JobDetail, Set<? extends Trigger>> all = new LinkedHashMap<>();
        for (int i = 0; i < n; i++) {
            all.put(job(NoOp.class, "bulk", i), Set.of(once("bulk", i, base + i)));
            if (all.size() == 1000 || i == n - 1) { s.scheduleJobs(all, false); all.clear(); }
        }
        double bulk = (System.nanoTime() - t) / 1e9;
        out(String.format("\"one_per_s\":%.0f,\"bulk_per_s\":%.0f,\"bytes\":%d,\"resident_bytes\":%d", n / one, n / bulk,
            (heap1 - heap0) * 1024 / n, (rss1 - rss0) * 1024 / n));
    }

    public static void main(String[] args) throws Exception {
        for (int i = 1; i < args.length; i++) opts.put(args[i].split("=")[0], Long.parseLong(args[i].split("=")[1]));
        Scheduler s = scheduler();
        switch (args[0]) {
            case "W1" -> w1(s);
            case "W2" -> w2(s);
            case "W3" -> w3(s);
            case "W4" -> w4(s);
            default -> throw new IllegalArgumentException(args[0]);
        }
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }
}
