import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/**
 * Served SERVER THREADS PORT BACKEND: `jdk`, the JDK's server, or `tomcat`, with `pool`, 16 threads, or
 * `virtual` ones, as many as there are requests. What is done for a request is in Work.
 */
public final class Served {
    public static void main(String[] given) throws Exception {
        boolean virtual = given[1].equals("virtual");
        int port = Integer.parseInt(given[2]);
        Work.backend = new InetSocketAddress(InetAddress.getLoopbackAddress(), Integer.parseInt(given[3]));
        if (given[0].equals("tomcat")) {
            Catalina.start(port, virtual);
        } else {
            start(port, virtual);
        }
        System.out.println("listening");
    }

    private static void start(int port, boolean virtual) throws Exception {
        InetAddress here = InetAddress.getLoopbackAddress();
        HttpServer server = HttpServer.create(new InetSocketAddress(here, port), 256);
        server.setExecutor(virtual ? virtualThreads() : Executors.newFixedThreadPool(16));
        server.createContext("/", exchange -> {
            byte[] answer = Work.of(exchange.getRequestURI().getPath());
            exchange.sendResponseHeaders(200, answer.length);
            exchange.getResponseBody().write(answer);
            exchange.close();
        });
        server.start();
    }

    /** They are in no Java that compiles this. */
    static ExecutorService virtualThreads() {
        try {
            return (ExecutorService) Executors.class.getMethod("newVirtualThreadPerTaskExecutor").invoke(null);
        } catch (ReflectiveOperationException none) {
            throw new IllegalStateException(none);
        }
    }
}
