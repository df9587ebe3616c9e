import java.io.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.time.Instant;
import java.util.*;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicInteger;
import org.quartz.*;
import org.quartz.impl.StdSchedulerFactory;

/**
 * A node of clustered Quartz on PostgreSQL: {@code Node fill due|far|long N}, {@code work FOLDER INDEX}, {@code work-long FOLDER
 * INDEX}. Which server, and how: REDIS_URL (its address, whatever it is), LEAN=1 for its settings as they come, TIGHT=1 for a
 * check-in each second.
 */
public class Node {
    static final ConcurrentLinkedQueue<String> runs = new ConcurrentLinkedQueue<>();
    static final AtomicInteger count = new AtomicInteger();
    static volatile OutputStream begun;

    static String number(JobExecutionContext c) { return c.getJobDetail().getKey().getName().substring(1); }

    public static class Short implements Job {
        public void execute(JobExecutionContext c) {
            runs.add(number(c));
            count.incrementAndGet();
        }
    }

    public static class Long implements Job {
        public void execute(JobExecutionContext c) {
            Instant i = Instant.now();
            long micros = i.getEpochSecond() * 1_000_000 + i.getNano() / 1000;
            try {
                begun.write((number(c) + " " + micros + "\n").getBytes(StandardCharsets.UTF_8));
                Thread.sleep(600_000);
            } catch (IOException | InterruptedException e) { throw new RuntimeException(e); }
        }
    }

    static Scheduler scheduler() throws Exception {
        Properties p = new Properties();
        String store = "org.quartz.jobStore.", source = "org.quartz.dataSource.ds.";
        p.put("org.quartz.scheduler.instanceName", "bench");
        p.put("org.quartz.scheduler.instanceId", "AUTO");
        p.put("org.quartz.scheduler.skipUpdateCheck", "true");
        p.put("org.quartz.threadPool.class", "org.quartz.simpl.SimpleThreadPool");
        boolean tuned = !"1".equals(System.getenv("LEAN"));
        p.put("org.quartz.threadPool.threadCount", tuned ? "25" : "10");
        if (tuned) {
            p.put("org.quartz.scheduler.idleWaitTime", "1000");
            p.put("org.quartz.scheduler.batchTriggerAcquisitionMaxCount", "200");
            p.put(store + "acquireTriggersWithinLock", "true");
        }
        p.put(store + "class", "org.quartz.impl.jdbcjobstore.JobStoreTX");
        p.put(store + "driverDelegateClass", "org.quartz.impl.jdbcjobstore.PostgreSQLDelegate");
        p.put(store + "tablePrefix", "QRTZ_");
        p.put(store + "isClustered", "true");
        p.put(store + "useProperties", "true");
        p.put(store + "dataSource", "ds");
        if ("1".equals(System.getenv("TIGHT"))) p.put(store + "clusterCheckinInterval", "1000");
        p.put(source + "driver", "org.postgresql.Driver");
        p.put(source + "URL", System.getenv("REDIS_URL"));
        p.put(source + "user", "postgres");
        p.put(source + "password", "x");
        p.put(source + "provider", "hikaricp");
        p.put(source + "maxConnections", tuned ? "30" : "12");
        return new StdSchedulerFactory(p).getScheduler();
    }

    static void fill(String what, int n) throws Exception {
        Scheduler s = scheduler();
        boolean isLong = what.equals("long");
        Date at = new Date(System.currentTimeMillis() + (what.equals("far") ? 3_600_000 : 0));
        int single = what.equals("due") ? Math.min(n / 2, 1000) : 0;
        double one = 0, bulk = 0;
        Map<JobDetail, Set<? extends Trigger>> all = new LinkedHashMap<>();
        for (int i = 0; i < n; i++) {
            JobDetail job = JobBuilder.newJob(isLong ? Long.class : Short.class).withIdentity("j" + i, "g").requestRecovery(isLong).build();
            Trigger t = TriggerBuilder.newTrigger().withIdentity("t" + i, "g").startAt(at)
                .withSchedule(SimpleScheduleBuilder.simpleSchedule().withMisfireHandlingInstructionIgnoreMisfires()).build();
            long begin = System.nanoTime();
            if (i < single) {
                s.scheduleJob(job, t);
                one += (System.nanoTime() - begin) / 1e9;
            } else {
                all.put(job, Set.of(t));
                if (all.size() == 1000 || i == n - 1) { s.scheduleJobs(all, false); all.clear(); }
                bulk += (System.nanoTime() - begin) / 1e9;
            }
        }
        String each = single > 0 ? String.format("%.0f", single / one) : "null";
        System.out.println(String.format("{\"one_per_s\":%s,\"bulk_per_s\":%.0f}", each, (n - single) / Math.max(bulk, 1e-9)));
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }

    static void work(Path folder, String index) throws Exception {
        begun = Files.newOutputStream(folder.resolve("begun." + index));
        Scheduler s = scheduler();
        Files.createFile(folder.resolve("ready." + index));
        while (!Files.exists(folder.resolve("go"))) Thread.sleep(1);
        s.start();
        int last = -1;
        int poll = Integer.parseInt(System.getenv().getOrDefault("POLL", "5"));
        while (!Files.exists(folder.resolve("stop"))) {
            if (count.get() != last) Files.writeString(folder.resolve("count." + index), "" + (last = count.get()));
            Thread.sleep(poll);
        }
        Files.write(folder.resolve("runs." + index), runs);
        Runtime.getRuntime().halt(0);
    }

    public static void main(String[] a) throws Exception {
        if (a[0].equals("fill")) fill(a[1], Integer.parseInt(a[2]));
        else work(Path.of(a[1]), a[2]);
    }
}
