import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.util.concurrent.Executors;

/** Pool PORT BACKEND: the JDK's server with 16 threads, each of which asks the backend itself. */
public final class Pool {
    private static String backend;

    public static void main(String[] given) throws IOException {
        backend = "http://127.0.0.1:" + given[1];
        InetAddress here = InetAddress.getLoopbackAddress();
        HttpServer server = HttpServer.create(new InetSocketAddress(here, Integer.parseInt(given[0])), 256);
        server.setExecutor(Executors.newFixedThreadPool(16));
        server.createContext("/", Pool::answer);
        server.start();
        System.out.println("listening");
    }

    private static void answer(HttpExchange exchange) throws IOException {
        String id = exchange.getRequestURI().getPath().split("/")[1];
        int delay = Integer.parseInt(id.substring(1)) * 7 % 5;
        ask("/" + id + "/back?delay=" + delay);
        ask("/" + id + "/again");
        byte[] ok = "ok\n".getBytes();
        exchange.sendResponseHeaders(200, ok.length);
        exchange.getResponseBody().write(ok);
        exchange.close();
    }

    private static void ask(String target) throws IOException {
        HttpURLConnection connection = (HttpURLConnection) URI.create(backend + target).toURL().openConnection();
        try (InputStream answer = connection.getInputStream()) {
            answer.readAllBytes();
        }
    }
}
