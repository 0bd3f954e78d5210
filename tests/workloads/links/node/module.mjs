// The server of app.js, loaded by an ES module.
import './app.js';
