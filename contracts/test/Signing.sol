// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Base} from "./Base.t.sol";
import {Messages} from "../src/libraries/Messages.sol";

/// @notice A market whose requester and seats can sign what others post (P6.1).
abstract contract Signing is Base {
    bytes32 internal constant VOTE = bytes32(uint256(900_000));
    uint256 internal _requesterKey;

    function setUp() public virtual override {
        super.setUp();
        (requester, _requesterKey) = makeAddrAndKey("signing requester");
        _fund(requester, 100_000e18);
        _signingSeats();
    }

    /// @dev Every seat's hot key becomes one that can sign.
    function _signingSeats() private {
        for (uint32 seat; seat < 24; ++seat) {
            (address hot,) = _hotKey(seat);
            vm.prank(market.getSeat(seat).cold);
            market.rotate(seat, hot, 0);
        }
    }

    function _hotKey(uint32 seat) internal returns (address hot, uint256 key) {
        return makeAddrAndKey(string.concat("hot ", vm.toString(seat)));
    }

    function _commits(bytes32 id) internal returns (bytes32[] memory hashes, bytes[] memory signatures) {
        (, uint32[] memory seats) = market.committee(id);
        (hashes, signatures) = (new bytes32[](seats.length), new bytes[](seats.length));
        for (uint256 place; place < seats.length; ++place) {
            hashes[place] = _commitment(id, 1, seats[place], VOTE);
            (, uint256 key) = _hotKey(seats[place]);
            signatures[place] = _signed(key, Messages.scoreCommit(id, 1, seats[place], hashes[place]));
        }
    }

    function _commitBatch(bytes32 id) internal {
        (bytes32[] memory hashes, bytes[] memory signatures) = _commits(id);
        vm.prank(stranger);
        market.commitAll(id, hashes, signatures);
    }

    function _openings(bytes32 id) internal view returns (Opening[] memory openings) {
        openings = new Opening[](market.getRound(id, 1).size);
        for (uint8 place; place < openings.length; ++place) {
            openings[place] = Opening(place, VOTE, _evidence(VOTE), SALT);
        }
    }

    function _waivers(bytes32 id, bytes32 result) internal view returns (bytes[] memory signatures) {
        JobView memory job = market.getJob(id);
        return _signedByParties(Messages.waiver(id, job.round, result), job.lanes);
    }

    /// @dev The requester first, then the provider of every lane.
    function _signedByParties(bytes32 structHash, uint256 lanes) internal view returns (bytes[] memory signatures) {
        signatures = new bytes[](lanes + 1);
        signatures[0] = _signed(_requesterKey, structHash);
        for (uint256 lane; lane < lanes; ++lane) {
            signatures[lane + 1] = _signed(providerKeys[lane], structHash);
        }
    }
}
