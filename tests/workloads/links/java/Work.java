import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.Semaphore;

/** What a request leads to, by the second part of its path: calls that carry its id, the first part. */
final class Work {
    static InetSocketAddress backend;

    private static final HttpClient CLIENT = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    private static final ExecutorService POOL = Executors.newFixedThreadPool(16);
    private static final Semaphore FEW = new Semaphore(8);

    static byte[] of(String path) throws IOException {
        String[] parts = path.split("/");
        String id = "/" + parts[1];
        String slow = id + "/back?delay=" + Integer.parseInt(parts[1].substring(1)) * 7 % 5;
        try {
            switch (parts[2]) {
                // As little as there can be, for who measures.
                case "hello" -> ask(id + "/hello");
                case "direct" -> {
                    ask(slow);
                    ask(id + "/again");
                }
                case "socket" -> {
                    askOnSocket(slow);
                    askOnSocket(id + "/again");
                }
                case "few" -> {
                    FEW.acquire();
                    try {
                        ask(slow);
                    } finally {
                        FEW.release();
                    }
                }
                case "given-up" -> {
                    giveUp(id + "/slow?delay=30");
                    ask(id + "/again");
                }
                case "pool" -> {
                    Future<?> first = POOL.submit(() -> askUnchecked(slow));
                    POOL.submit(() -> askUnchecked(id + "/again")).get();
                    first.get();
                }
                case "spawn" -> {
                    List<Future<?>> all = new ArrayList<>();
                    ExecutorService spawned = Served.virtualThreads();
                    for (int number = 0; number < 3; number++) {
                        String target = id + "/" + number;
                        all.add(spawned.submit(() -> askUnchecked(target)));
                    }
                    for (Future<?> one : all) {
                        one.get();
                    }
                    spawned.shutdown();
                }
                case "client" -> CLIENT.send(
                    HttpRequest.newBuilder(URI.create(url(slow))).build(), HttpResponse.BodyHandlers.ofByteArray());
                default -> throw new IOException("nobody knows how to " + parts[2]);
            }
        } catch (Exception failure) {
            failure.printStackTrace();
            throw new IOException(failure);
        }
        return "ok\n".getBytes();
    }

    private static String url(String target) {
        return "http://" + backend.getAddress().getHostAddress() + ":" + backend.getPort() + target;
    }

    private static void ask(String target) throws IOException {
        try (InputStream answer = connection(target).getInputStream()) {
            answer.readAllBytes();
        }
    }

    private static void giveUp(String target) throws IOException {
        HttpURLConnection connection = connection(target);
        connection.setReadTimeout(3);
        try (InputStream answer = connection.getInputStream()) {
            answer.readAllBytes();
        } catch (java.net.SocketTimeoutException late) {
            connection.disconnect();
        }
    }

    private static void askUnchecked(String target) {
        try {
            ask(target);
        } catch (IOException failure) {
            throw new IllegalStateException(failure);
        }
    }

    private static HttpURLConnection connection(String target) throws IOException {
        return (HttpURLConnection) URI.create(url(target)).toURL().openConnection();
    }

    private static void askOnSocket(String target) throws IOException {
        try (Socket socket = new Socket(backend.getAddress(), backend.getPort())) {
            String head = "GET " + target + " HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";
            socket.getOutputStream().write(head.getBytes());
            socket.getInputStream().readAllBytes();
        }
    }
}
