// An HTTPS server and an HTTPS client on Netty, which leaves TLS to the provider that it is told:
// JDK is Java's own (JSSE), OPENSSL the library through tcnative. Both tell the truth, a line of
// JSON for each exchange.
//
//     Truth serve PROVIDER PORT CERT KEY
//     Truth call PROVIDER CERT PORT
//
// The server's answer is chosen by query parameters: status, size, chunked. The client reads
// requests from standard input, METHOD URL BODY_BYTES, and has one connection for all.

import io.netty.bootstrap.Bootstrap;
import io.netty.bootstrap.ServerBootstrap;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.SimpleChannelInboundHandler;
import io.netty.channel.nio.NioEventLoopGroup;
import io.netty.channel.socket.SocketChannel;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import io.netty.channel.socket.nio.NioSocketChannel;
import io.netty.handler.codec.http.DefaultFullHttpRequest;
import io.netty.handler.codec.http.DefaultFullHttpResponse;
import io.netty.handler.codec.http.DefaultHttpContent;
import io.netty.handler.codec.http.DefaultHttpResponse;
import io.netty.handler.codec.http.DefaultLastHttpContent;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.FullHttpResponse;
import io.netty.handler.codec.http.HttpClientCodec;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpObjectAggregator;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.HttpServerCodec;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.handler.codec.http.QueryStringDecoder;
import io.netty.handler.codec.http.HttpServerExpectContinueHandler;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.handler.ssl.SslProvider;
import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.net.URI;
import java.util.List;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.TimeUnit;

public class Truth {
    private static final int BODY_MAX = 1 << 24;

    private static void tell(String method, String target, int status, long sent, long received) {
        System.out.println(String.format(
            "{\"method\":\"%s\",\"target\":\"%s\",\"status\":%d,\"request_body\":%d,"
                + "\"response_body\":%d}", method, target, status, sent, received));
    }

    private static ByteBuf bytes(int size, char of) {
        byte[] bytes = new byte[size];
        java.util.Arrays.fill(bytes, (byte) of);
        return Unpooled.wrappedBuffer(bytes);
    }

    private static class Answer extends SimpleChannelInboundHandler<FullHttpRequest> {
        @Override
        protected void channelRead0(ChannelHandlerContext context, FullHttpRequest request) {
            QueryStringDecoder query = new QueryStringDecoder(request.uri());
            int status = number(query, "status", 200);
            int size = number(query, "size", 5);
            boolean bodiless = status == 204 || status == 304;
            boolean chunked = number(query, "chunked", 0) != 0;
            int sent = bodiless || request.method().equals(HttpMethod.HEAD) ? 0 : size;
            boolean keep = HttpUtil.isKeepAlive(request);
            HttpVersion version = HttpVersion.HTTP_1_1;
            HttpResponseStatus named = HttpResponseStatus.valueOf(status);
            if (chunked) {
                DefaultHttpResponse head = new DefaultHttpResponse(version, named);
                HttpUtil.setTransferEncodingChunked(head, true);
                context.write(head);
                context.write(new DefaultHttpContent(bytes(sent, 'x')));
                end(context, new DefaultLastHttpContent(), keep);
            } else {
                DefaultFullHttpResponse whole =
                    new DefaultFullHttpResponse(version, named, bytes(sent, 'x'));
                if (!bodiless) {
                    HttpUtil.setContentLength(whole, size);
                }
                HttpUtil.setKeepAlive(whole, keep);
                end(context, whole, keep);
            }
            tell(request.method().name(), request.uri(), status,
                request.content().readableBytes(), sent);
        }

        private static void end(ChannelHandlerContext context, Object last, boolean keep) {
            var written = context.writeAndFlush(last);
            if (!keep) {
                written.addListener(ChannelFutureListener.CLOSE);
            }
        }

        private static int number(QueryStringDecoder query, String name, int otherwise) {
            List<String> values = query.parameters().get(name);
            return values == null ? otherwise : Integer.parseInt(values.get(0));
        }

        @Override
        public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
            context.close();
        }
    }

    private static void serve(SslProvider provider, int port, String certificate, String key)
            throws Exception {
        SslContext tls = SslContextBuilder.forServer(new File(certificate), new File(key))
            .sslProvider(provider).build();
        new ServerBootstrap().group(new NioEventLoopGroup(2)).channel(NioServerSocketChannel.class)
            .childHandler(new ChannelInitializer<SocketChannel>() {
                @Override
                protected void initChannel(SocketChannel channel) {
                    channel.pipeline().addLast(tls.newHandler(channel.alloc()),
                        new HttpServerCodec(), new HttpServerExpectContinueHandler(),
                        new HttpObjectAggregator(BODY_MAX), new Answer());
                }
            }).bind("127.0.0.1", port).sync();
        System.out.println("listening");
    }

    private static void call(SslProvider provider, String trusted, int port) throws Exception {
        SslContext tls = SslContextBuilder.forClient().trustManager(new File(trusted))
            .sslProvider(provider).build();
        BlockingQueue<int[]> answers = new ArrayBlockingQueue<>(1);
        NioEventLoopGroup group = new NioEventLoopGroup(1);
        HttpClientCodec codec = new HttpClientCodec();
        Channel channel = new Bootstrap().group(group).channel(NioSocketChannel.class)
            .handler(new ChannelInitializer<SocketChannel>() {
                @Override
                protected void initChannel(SocketChannel channel) {
                    channel.pipeline().addLast(tls.newHandler(channel.alloc(), "localhost", port),
                        codec, new HttpObjectAggregator(BODY_MAX),
                        new SimpleChannelInboundHandler<FullHttpResponse>() {
                            @Override
                            protected void channelRead0(ChannelHandlerContext context,
                                    FullHttpResponse answer) {
                                answers.add(new int[] {answer.status().code(),
                                    answer.content().readableBytes()});
                            }
                        });
                }
            }).connect("127.0.0.1", port).sync().channel();
        System.out.println("ready");
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.split(" ");
            URI url = new URI(words[1]);
            String target =
                url.getRawPath() + (url.getRawQuery() == null ? "" : "?" + url.getRawQuery());
            int size = Integer.parseInt(words[2]);
            DefaultFullHttpRequest request = new DefaultFullHttpRequest(HttpVersion.HTTP_1_1,
                HttpMethod.valueOf(words[0]), target, bytes(size, 'y'));
            request.headers().set("Host", url.getAuthority());
            if (size > 0) {
                HttpUtil.setContentLength(request, size);
            }
            channel.writeAndFlush(request);
            int[] answer = answers.poll(20, TimeUnit.SECONDS);
            tell(words[0], target, answer[0], size, answer[1]);
        }
        group.shutdownGracefully(0, 0, TimeUnit.SECONDS);
    }

    public static void main(String[] arguments) throws Exception {
        SslProvider provider = SslProvider.valueOf(arguments[1]);
        if (arguments[0].equals("serve")) {
            serve(provider, Integer.parseInt(arguments[2]), arguments[3], arguments[4]);
        } else {
            call(provider, arguments[2], Integer.parseInt(arguments[3]));
        }
    }
}
